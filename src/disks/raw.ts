import { roundUp } from '../domain/bytes.ts'
import { ImageUnsafe } from '../domain/errors.ts'
import { checkRange, checkVirtualSize } from './bounds.ts'
import type { Disk, DiskReader, Extent, RandomAccess, Range } from './disk.ts'

/** The bare disk: byte n of the file is byte n of the disk. A file of odd length is filled up with zeros to a sector. */
const bytesAs = (name: string): DiskReader => ({
  name,
  async open(file, limits) {
    const virtualSize = checkVirtualSize(roundUp(file.size, 512), limits)
    const ranges = file.dataRanges ?? [{ offset: 0, length: file.size }]
    let end = 0
    for (const { offset, length } of ranges) {
      if (offset < end || length <= 0 || offset + length > file.size) {
        throw new ImageUnsafe('data_ranges', 'the record of where its data lies does not fit its file')
      }
      end = offset + length
    }
    return new RawDisk(file, virtualSize, ranges)
  }
})

export const raw = bytesAs('raw')
/** A CD or DVD. Its bytes are those of the medium; openDisk demands that they look like one. */
export const iso = bytesAs('iso')
/** Amazon's machine image, kernel and ramdisk, which Glance keeps apart by name only. */
export const ami = bytesAs('ami')
export const aki = bytesAs('aki')
export const ari = bytesAs('ari')

class RawDisk implements Disk {
  readonly virtualSize: number
  readonly #file: RandomAccess
  readonly #ranges: readonly Range[]

  constructor(file: RandomAccess, virtualSize: number, ranges: readonly Range[]) {
    this.#file = file
    this.virtualSize = virtualSize
    this.#ranges = ranges
  }

  async *extents(): AsyncGenerator<Extent> {
    yield* this.#within(0, this.virtualSize)
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(target.length, offset, this.virtualSize)
    for (const extent of this.#within(offset, offset + target.length)) {
      const part = target.subarray(extent.offset - offset, extent.offset - offset + extent.length)
      if (extent.data) await this.#file.read(part, extent.offset)
      else part.fill(0)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]()
  }

  *#within(from: number, to: number): Generator<Extent> {
    let at = from
    for (let i = this.#firstEndingAfter(from); i < this.#ranges.length && at < to; i += 1) {
      const range = this.#ranges[i]
      if (range === undefined || range.offset >= to) break
      if (range.offset > at) yield { offset: at, length: range.offset - at, data: false }
      const start = Math.max(range.offset, at)
      at = Math.min(range.offset + range.length, to)
      yield { offset: start, length: at - start, data: true }
    }
    if (at < to) yield { offset: at, length: to - at, data: false }
  }

  #firstEndingAfter(offset: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const range = this.#ranges[middle]
      if (range !== undefined && range.offset + range.length <= offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
