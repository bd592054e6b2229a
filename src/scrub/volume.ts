import { setImmediate } from 'node:timers/promises'
import type { Disk } from '../disks/disk.ts'
import { type ByteRanges, RangesBuilder } from './byte-ranges.ts'
import { Refused } from './refused.ts'

/** Reads of zeros that cost no I/O, after which others get their turn. */
const ZEROS_IN_A_ROW = 256

/** What a volume needs of the disk below it. */
export type Source = {
  readonly disk: Disk
  /** Where the disk holds data: all else is known to be zeros, without reading. */
  readonly data: ByteRanges
  readonly signal: AbortSignal
}

/** Throws Refused when the disk's data is in too many pieces. */
export async function sourceOf(disk: Disk, signal: AbortSignal): Promise<Source> {
  const data = new RangesBuilder()
  for await (const extent of disk.extents()) if (extent.data) data.add(extent.offset, extent.length)
  return { disk, data: data.build(), signal }
}

/** A partition, or the whole disk: what a file system's reader sees. Offsets count from its start; nothing outside can be had. */
export class Volume {
  readonly start: number
  /** Bytes. */
  readonly length: number
  readonly #source: Source
  #zerosRead = 0

  /** @param start byte of the disk; with `length`, a range inside it */
  constructor(source: Source, start: number, length: number) {
    this.#source = source
    this.start = start
    this.length = length
  }

  /** Throws Refused where the range is not inside, for then a structure of the guest has pointed there. */
  async read(offset: number, length: number): Promise<Buffer> {
    const { disk, signal } = this.#source
    signal.throwIfAborted()
    if (!(offset >= 0) || !Number.isSafeInteger(offset) || offset + length > this.length) {
      throw new Refused('outside', 'it points outside its partition')
    }
    if (this.isZero(offset, length)) {
      this.#zerosRead += 1
      if (this.#zerosRead % ZEROS_IN_A_ROW === 0) await setImmediate()
      return Buffer.alloc(length)
    }
    const bytes = Buffer.allocUnsafe(length)
    await disk.read(bytes, this.start + offset)
    return bytes
  }

  /** Whether the range is known to be all zeros. */
  isZero(offset: number, length: number): boolean {
    return !this.#source.data.meet(this.start + offset, this.start + offset + length)
  }
}
