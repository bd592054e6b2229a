import type { ImageId, OwnerId } from './ids.ts'

/** Glance's image statuses that the library uses. */
export type ImageStatus = 'queued' | 'saving' | 'active' | 'killed'

/**
 * One image of the library, as Glance describes images.
 * `size` is bytes as stored, `virtualSize` bytes of the disk inside; both are known once `active`.
 */
export type Image = {
  readonly id: ImageId
  readonly owner: OwnerId
  readonly status: ImageStatus
  readonly name: string | null
  readonly diskFormat: string | null
  readonly containerFormat: string | null
  readonly visibility: 'private' | 'public'
  readonly protected: boolean
  readonly minDisk: number
  readonly minRam: number
  readonly tags: readonly string[]
  readonly properties: Readonly<Record<string, string>>
  readonly size: number | null
  readonly virtualSize: number | null
  /** MD5 as lower-case hex: Glance's `checksum`. */
  readonly checksum: string | null
  /** SHA-512 as lower-case hex: Glance's `os_hash_value`. */
  readonly sha512: string | null
  readonly createdAt: Date
  readonly updatedAt: Date
}
