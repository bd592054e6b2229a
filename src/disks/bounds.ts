import { ImageUnsafe } from '../domain/errors.ts'
import type { DiskLimits } from './disk.ts'

/** Throws RangeError unless [offset, offset + length) lies in [0, size). */
export function checkRange(length: number, offset: number, size: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size) {
    throw new RangeError(`read of ${length} bytes at ${offset} of a disk of ${size}`)
  }
}

/** The size of a guest's disk in bytes when it may be opened at all, else ImageUnsafe. */
export function checkVirtualSize(virtualSize: number, limits: DiskLimits): number {
  if (!(virtualSize > 0)) throw new ImageUnsafe('virtual_size', 'its disk holds no sector')
  if (!Number.isSafeInteger(virtualSize) || virtualSize > limits.maxVirtualSize) {
    throw new ImageUnsafe('virtual_size_limit', `its disk is larger than the allowed ${limits.maxVirtualSize} bytes`)
  }
  return virtualSize
}
