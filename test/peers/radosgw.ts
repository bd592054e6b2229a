import { peer } from './peer.ts'
import type { S3Access } from './swift.ts'

/** Ceph RGW 16.2, a second S3 and a second Swift. Objects live in its memory: 4 GiB at most. */
export type Radosgw = {
  readonly s3: S3Access
  /** A role that the S3 user may assume at the same endpoint, where `roles` is on. */
  readonly roleArn: string
  /** A key that `aws:kms` may name. Customers' keys are taken without TLS too. */
  readonly kmsKeyId: string
  /** Below this name every bucket has a host of its own. No DNS knows it. */
  readonly dnsName: string
  /** Swift's v1 auth, for `user` and `key`. */
  readonly swiftAuthUrl: string
  readonly user: string
  readonly key: string
}

export type RadosgwOptions = {
  /** Lets roles be assumed. A wrong secret is then answered with AccessDenied, otherwise with SignatureDoesNotMatch. */
  readonly roles?: boolean
}

/** @throws PeerMissing */
export const startRadosgw = (options: RadosgwOptions = {}): Promise<Radosgw & AsyncDisposable> =>
  peer<Radosgw>('radosgw', options)
