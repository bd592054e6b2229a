import { type Keystone, startKeystone } from './keystone.ts'
import { peer } from './peer.ts'

export type S3Access = { readonly endpoint: string; readonly accessKeyId: string; readonly secretAccessKey: string }

/** OpenStack Swift 2.30 with TempAuth, s3api (region us-east-1, path style), TempURL, SLO, DLO and bulk. */
export type Swift = {
  /**
   * TempAuth: test:tester/testing owns AUTH_test, test:reader/testing has no right there, test2:tester2/testing2 owns
   * AUTH_test2, admin:admin/admin is reseller.
   */
  readonly authUrl: string
  /** `host:port` of the object API. */
  readonly storageHost: string
  readonly s3: S3Access
}

export type SwiftOptions = {
  /** Largest single object, bytes; 5 GiB + 2 when absent. Low, it makes every upload a segmented one. */
  readonly maxFileSize?: number
}

/** @throws PeerMissing */
export const startSwift = (options: SwiftOptions = {}): Promise<Swift & AsyncDisposable> =>
  peer<Swift>('swift', options)

export type SwiftWithKeystone = Swift &
  Keystone & {
    /** `host:port` of the object API that takes Keystone's tokens, as the catalogue has it. It shares the storage. */
    readonly keystoneStorageHost: string
    /** Takes EC2 credentials made at Keystone. */
    readonly keystoneS3Endpoint: string
  }

/** @throws PeerMissing */
export async function startSwiftWithKeystone(options: SwiftOptions = {}): Promise<SwiftWithKeystone & AsyncDisposable> {
  const keystone = await startKeystone()
  return { ...(await peer<SwiftWithKeystone>('swift-keystone', options)), ...keystone }
}
