import type { Json } from '../test/support/service.ts'
import { BUCKET, KEY_ID, SECRET_KEY, type Stores } from './stores.ts'

/** A place that exports are sent to, and how an export ends there that nobody cancels. */
export type Target = {
  readonly name: string
  /** Of so many exports together, how many go there. */
  readonly share: number
  readonly ends: 'success' | 'DEST_AUTH_FAILED' | 'DEST_CONTAINER_NOT_FOUND'
  /** Whether the file is compressed on the way, where that matters. */
  readonly packed?: boolean
  /** Small files only: they stay on this machine's disk. */
  readonly small?: boolean
  /** `export_to` and what goes with it. */
  where(stores: Stores): Json
}

const s3 = (port: number, bucket = BUCKET, keyId = KEY_ID): Json => ({
  export_to: `s3://${bucket}/exports`,
  export_to_credentials: {
    kind: 's3_static',
    access_key_id: keyId,
    secret_access_key: SECRET_KEY,
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    addressing_style: 'path'
  }
})

export const SOUND_S3: Target = { name: 's3', share: 8, ends: 'success', where: (stores) => s3(stores.s3.port) }

const TARGETS: readonly Target[] = [
  SOUND_S3,
  { name: 's3 that fails now and then', share: 4, ends: 'success', where: (stores) => s3(stores.flaky.port) },
  {
    name: 'http',
    share: 2,
    ends: 'success',
    where: ({ http }) => ({ export_to: `http://127.0.0.1:${http.port}/exports` })
  },
  { name: 'file', share: 2, ends: 'success', small: true, where: () => ({ export_to: 'file:///exports' }) },
  { name: 'kept for download', share: 2, ends: 'success', packed: true, where: () => ({}) },
  {
    name: 's3, unknown key',
    share: 1,
    ends: 'DEST_AUTH_FAILED',
    where: (stores) => s3(stores.s3.port, BUCKET, 'AKIAUNKNOWN')
  },
  {
    name: 's3, no such bucket',
    share: 1,
    ends: 'DEST_CONTAINER_NOT_FOUND',
    where: (stores) => s3(stores.s3.port, 'missing')
  }
]

/** Each as often as its share says. */
export const TARGETS_BY_SHARE: readonly Target[] = TARGETS.flatMap((target) =>
  Array.from({ length: target.share }, () => target)
)
