import type { BlockPlaces } from '../blocks/block-places.ts'
import { checkRange } from '../bounds.ts'
import type { Disk, Extent, RandomAccess } from '../disk.ts'
import type { DynamicHeader } from './dynamic-header.ts'
import { joinedExtents } from './joined-extents.ts'
import { runsOf, SectorBitmaps, type Sectors } from './sector-bitmaps.ts'

/** Bitmaps that are read at once where all of them are needed. */
const BITMAPS_AT_ONCE = 32

/** A disk in blocks. A sector that its block's bitmap does not have, or whose block is missing, reads as zeros. */
export class DynamicDisk implements Disk {
  readonly virtualSize: number
  readonly #file: RandomAccess
  readonly #header: DynamicHeader
  readonly #places: BlockPlaces
  readonly #blocks: number
  readonly #bitmaps: SectorBitmaps

  constructor(file: RandomAccess, header: DynamicHeader, places: BlockPlaces) {
    this.#file = file
    this.#header = header
    this.#places = places
    this.virtualSize = header.virtualSize
    this.#blocks = Math.ceil(header.virtualSize / header.blockBytes)
    this.#bitmaps = new SectorBitmaps(file, this.#blocks, header.blockBytes)
  }

  extents(): AsyncGenerator<Extent> {
    return joinedExtents(this.#extents())
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(target.length, offset, this.virtualSize)
    const { blockBytes } = this.#header
    const end = offset + target.length
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / blockBytes)
      const run = this.#places.find(block, this.#blocks)
      const stop = Math.min(end, (block + (run.offset === undefined ? run.count : 1)) * blockBytes)
      const part = target.subarray(at - offset, stop - offset)
      if (run.offset === undefined) part.fill(0)
      else await this.#readBlock(part, block, run.offset, at % blockBytes)
      at = stop
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]()
  }

  async *#extents(): AsyncGenerator<Extent> {
    const { blockBytes } = this.#header
    for (let block = 0; block < this.#blocks; ) {
      const run = this.#places.find(block, this.#blocks)
      if (run.offset === undefined) {
        const offset = block * blockBytes
        yield { offset, length: Math.min(run.count * blockBytes, this.virtualSize - offset), data: false }
        block += run.count
        continue
      }
      const batch = Array.from({ length: Math.min(BITMAPS_AT_ONCE, this.#blocks - block) }, (_, i) => block + i)
      for (const sectors of await Promise.all(batch.map((each) => this.#sectorsOf(each)))) {
        const start = block * blockBytes
        for (const { offset, length, data } of runsOf(sectors, 0, Math.min(blockBytes, this.virtualSize - start))) {
          yield { offset: start + offset, length, data }
        }
        block += 1
      }
    }
  }

  async #sectorsOf(block: number): Promise<Sectors> {
    const { offset } = this.#places.find(block, this.#blocks)
    return offset === undefined ? 'none' : this.#bitmaps.of(block, offset)
  }

  /** All data of the block in one read; what lies between is overwritten with zeros. */
  async #readBlock(target: Uint8Array, block: number, place: number, skip: number): Promise<void> {
    const runs = [...runsOf(await this.#bitmaps.of(block, place), skip, skip + target.length)]
    const first = runs.find(({ data }) => data)
    const last = runs.findLast(({ data }) => data)
    const within = ({ offset, length }: Omit<Extent, 'data'>) => target.subarray(offset - skip, offset - skip + length)
    if (first && last) {
      const span = within({ offset: first.offset, length: last.offset + last.length - first.offset })
      await this.#file.read(span, place + this.#header.bitmapBytes + first.offset)
    }
    for (const run of runs) if (!run.data) within(run).fill(0)
  }
}
