import type { RandomAccess } from '../disks/disk.ts'
import type { ImageId } from '../domain/ids.ts'

/**
 * Where the bytes of images come from. `open` gives the stored file as it is, of whatever disk format; the caller disposes
 * of it. Throws ImageNotFound when there are no such bytes, SourceReadFailed when they cannot be had now.
 */
export interface ImageSource {
  open(id: ImageId, signal: AbortSignal): Promise<RandomAccess>
}
