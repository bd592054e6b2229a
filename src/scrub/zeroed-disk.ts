import { checkRange } from '../disks/bounds.ts'
import type { Disk, Extent } from '../disks/disk.ts'
import type { ByteRanges } from './byte-ranges.ts'

/**
 * A disk in which some ranges read as zeros and are called zero, so that they are neither read nor sent. All else is as in
 * the disk below, which it owns.
 * @param dropped ranges inside the disk, of any alignment
 * @param remains such ranges in between, too small to be worth a piece of their own: they are read, and made zeros
 */
export class ZeroedDisk implements Disk {
  readonly virtualSize: number
  readonly #disk: Disk
  readonly #dropped: ByteRanges
  readonly #remains: ByteRanges | undefined

  constructor(disk: Disk, dropped: ByteRanges, remains?: ByteRanges) {
    this.virtualSize = disk.virtualSize
    this.#disk = disk
    this.#dropped = dropped
    this.#remains = remains
  }

  async *extents(): AsyncGenerator<Extent> {
    let last: Extent | undefined
    for await (const extent of this.#disk.extents()) {
      const end = extent.offset + extent.length
      for (const piece of extent.data ? this.#pieces(extent.offset, end) : [extent]) {
        if (last?.data === piece.data) last = { ...last, length: last.length + piece.length }
        else {
          if (last) yield last
          last = piece
        }
      }
    }
    if (last) yield last
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(target.length, offset, this.virtualSize)
    for (const piece of this.#pieces(offset, offset + target.length)) {
      const part = target.subarray(piece.offset - offset, piece.offset - offset + piece.length)
      if (piece.data) await this.#disk.read(part, piece.offset)
      else part.fill(0)
    }
    for (const { offset: at, length } of this.#remains?.within(offset, offset + target.length) ?? []) {
      target.fill(0, at - offset, at - offset + length)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disk[Symbol.asyncDispose]()
  }

  /** [from, to) cut where dropped ranges start and end. */
  *#pieces(from: number, to: number): Generator<Extent> {
    let at = from
    for (const { offset, length } of this.#dropped.within(from, to)) {
      if (offset > at) yield { offset: at, length: offset - at, data: true }
      yield { offset, length, data: false }
      at = offset + length
    }
    if (at < to) yield { offset: at, length: to - at, data: true }
  }
}
