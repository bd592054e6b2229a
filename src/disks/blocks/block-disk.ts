import { checkRange } from '../bounds.ts'
import type { Disk, Extent, RandomAccess } from '../disk.ts'
import type { Allocated } from './allocated.ts'
import { Recent } from './recent.ts'

/** Where a block of the disk lies. `offset` is of the file; `unpack` gives all bytes of the block that the disk has. */
export type Block =
  | { readonly kind: 'zero' }
  | { readonly kind: 'data'; readonly offset: number }
  | { readonly kind: 'packed'; readonly unpack: () => Promise<Buffer> }

/** What a format knows of a disk that is cut into blocks of one size. */
export interface BlockMap {
  /** Bytes. */
  readonly blockBytes: number
  readonly virtualSize: number
  readonly allocated: Allocated
  /** Where an allocated block lies, checked once more, for it decides where the file is read. */
  locate(block: number): Block | Promise<Block>
}

/** Enough for readers that go through a disk side by side in steps below a block. */
const KEPT_UNPACKED = 4
/** Reads of the file, or decompressions, that one `read` has under way. Node's thread pool has four threads. */
const PIECES_AT_ONCE = 4

const ZERO: Block = { kind: 'zero' }

/** A range of the disk that is filled in one step. `block` is its first, of which it leaves out `skip` bytes. */
type Piece = { readonly block: Block; readonly skip: number; readonly start: number; end: number }

/** A disk whose blocks lie anywhere in one file, or nowhere. */
export class BlockDisk implements Disk {
  readonly virtualSize: number
  readonly #file: RandomAccess
  readonly #map: BlockMap
  readonly #unpacked = new Recent<Buffer>(KEPT_UNPACKED)

  constructor(file: RandomAccess, map: BlockMap) {
    this.#file = file
    this.#map = map
    this.virtualSize = map.virtualSize
  }

  async *extents(): AsyncGenerator<Extent> {
    const { blockBytes, allocated } = this.#map
    const end = Math.ceil(this.virtualSize / blockBytes)
    for (let first = 0; first < end; ) {
      const count = allocated.runLength(first, end)
      const offset = first * blockBytes
      const length = Math.min(count * blockBytes, this.virtualSize - offset)
      yield { offset, length, data: allocated.has(first) }
      first += count
    }
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(target.length, offset, this.virtualSize)
    const pieces = await this.#pieces(offset, offset + target.length)
    await eachOf(pieces, (piece) => this.#fill(target.subarray(piece.start - offset, piece.end - offset), piece))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]()
  }

  /** The range in as few pieces as can be: zeros, and blocks that are neighbours in the file, are taken together. */
  async #pieces(from: number, to: number): Promise<Piece[]> {
    const { blockBytes, allocated } = this.#map
    const lastBlock = Math.ceil(to / blockBytes)
    const pieces: Piece[] = []
    for (let start = from; start < to; ) {
      const index = Math.floor(start / blockBytes)
      const zeros = allocated.has(index) ? 0 : allocated.runLength(index, lastBlock)
      const end = Math.min(to, (index + (zeros || 1)) * blockBytes)
      const found = zeros > 0 ? ZERO : this.#map.locate(index)
      const block = found instanceof Promise ? await found : found
      const last = pieces.at(-1)
      if (last && continues(last, block)) last.end = end
      else pieces.push({ block, skip: start % blockBytes, start, end })
      start = end
    }
    return pieces
  }

  async #fill(target: Uint8Array, { block, skip, start }: Piece): Promise<void> {
    if (block.kind === 'zero') target.fill(0)
    else if (block.kind === 'data') await this.#file.read(target, block.offset + skip)
    else {
      const unpacked = await this.#unpacked.get(start - skip, block.unpack)
      target.set(unpacked.subarray(skip, skip + target.length))
    }
  }
}

/** Whether the block that follows on the disk also follows in the file, or both are zeros. */
function continues(piece: Piece, next: Block): boolean {
  if (piece.block.kind === 'data' && next.kind === 'data') {
    return piece.block.offset + piece.skip + (piece.end - piece.start) === next.offset
  }
  return piece.block.kind === 'zero' && next.kind === 'zero'
}

export async function readBytes(file: RandomAccess, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  await file.read(bytes, offset)
  return bytes
}

/**
 * Works on a few items at once. After a failure nothing more is begun, and it throws only when all that was under way has
 * ended: until then the caller's buffer may still be written to.
 */
async function eachOf<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const [only] = items
  if (only !== undefined && items.length === 1) return work(only)
  // The workers take from one generator; the one that fails closes it for all.
  const queue = (function* () {
    yield* items
  })()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  const ends = await Promise.allSettled(Array.from({ length: Math.min(PIECES_AT_ONCE, items.length) }, worker))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}
