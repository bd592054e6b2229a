import { readBytes } from '../blocks/block-disk.ts'
import { Recent } from '../blocks/recent.ts'
import type { Extent, RandomAccess } from '../disk.ts'

/** Which sectors of a block hold data: one bit each, the first in the highest bit of the first byte. */
export type Sectors = 'all' | 'none' | Buffer

const KEPT_BYTES = 1024 * 1024
const ALL = 1
const NONE = 2

/**
 * The bitmaps in front of the blocks, read when they are asked for. Of blocks whose sectors are all alike that much is
 * remembered, a byte each; of the others the bitmaps used last are kept.
 */
export class SectorBitmaps {
  readonly #file: RandomAccess
  /** Bytes in use of each bitmap. */
  readonly #bytes: number
  readonly #full: Buffer
  readonly #empty: Buffer
  /** ALL or NONE, or 0 for what is not known or mixed. */
  readonly #alike: Uint8Array
  readonly #recent: Recent<Buffer>

  constructor(file: RandomAccess, blocks: number, blockBytes: number) {
    this.#file = file
    this.#bytes = blockBytes / 512 / 8
    this.#full = Buffer.alloc(this.#bytes, 0xff)
    this.#empty = Buffer.alloc(this.#bytes)
    this.#alike = new Uint8Array(blocks)
    this.#recent = new Recent(KEPT_BYTES / this.#bytes)
  }

  /** @param offset where the block's bitmap lies in the file */
  async of(block: number, offset: number): Promise<Sectors> {
    if (this.#alike[block] === ALL) return 'all'
    if (this.#alike[block] === NONE) return 'none'
    const bitmap = await this.#recent.get(block, () => readBytes(this.#file, offset, this.#bytes))
    const sectors = bitmap.equals(this.#full) ? 'all' : bitmap.equals(this.#empty) ? 'none' : bitmap
    if (sectors === 'all') this.#alike[block] = ALL
    if (sectors === 'none') this.#alike[block] = NONE
    return sectors
  }
}

/** The range [from, to) of a block, in bytes, as runs of sectors that are alike. */
export function* runsOf(sectors: Sectors, from: number, to: number): Generator<Extent> {
  for (let at = from; at < to; ) {
    const sector = Math.floor(at / 512)
    const data = holdsData(sectors, sector)
    const end = Buffer.isBuffer(sectors) ? Math.min(to, endOfRun(sectors, sector) * 512) : to
    yield { offset: at, length: end - at, data }
    at = end
  }
}

function holdsData(sectors: Sectors, sector: number): boolean {
  if (!Buffer.isBuffer(sectors)) return sectors === 'all'
  return ((sectors[sector >>> 3] ?? 0) & (0x80 >> (sector & 7))) !== 0
}

/** The first sector from `first` on that is not like it; one past the last when there is none. */
function endOfRun(bitmap: Buffer, first: number): number {
  const data = holdsData(bitmap, first)
  const alike = data ? 0xff : 0
  let at = first
  while (at < bitmap.length * 8) {
    if (at % 8 === 0 && bitmap[at / 8] === alike) at += 8
    else if (holdsData(bitmap, at) === data) at += 1
    else break
  }
  return at
}
