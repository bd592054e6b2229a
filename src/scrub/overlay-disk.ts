import type { Disk } from '../disks/disk.ts'

/**
 * Changes over a disk that is never written: they go to a sparse file, whose bytes count from the same offsets. Owns both.
 * Writes and reads may come from several sides at once, but not over the same bytes.
 */
export interface OverlayDisk extends Disk {
  /** From here on `offset` reads as `bytes`. A range past the disk is a RangeError. */
  write(bytes: Uint8Array, offset: number): Promise<void>
  /** From here on the range reads as zeros, and `extents` calls it so. */
  zero(offset: number, length: number): Promise<void>
  /** Bytes that its file holds: zeros take none, unless they were written. */
  readonly storedBytes: number
  /** SHA-256 over the changes, ranges and bytes; hex. Equal when the same was changed, in whatever order. */
  digest(signal: AbortSignal): Promise<string>
}
