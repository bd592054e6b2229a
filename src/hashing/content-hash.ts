import { createHash } from 'node:crypto'
import { KiB } from '../domain/bytes.ts'

const BLOCK_BYTES = 64 * KiB
const ZEROS = Buffer.alloc(BLOCK_BYTES)

/** How results name it. */
export const CONTENT_HASH = 'sha256-blocks-64k'

/**
 * The hash of a disk's content as its guest sees it: the same in whatever format the disk is stored.
 *
 * The disk is cut into blocks of 64 KiB, the last one filled up with zeros. It is the SHA-256, as lower-case hex, of
 *
 * 1. for every block that holds a byte other than zero, in order: its index, counted from 0, as 8 bytes, and the SHA-256 of
 *    its 65,536 bytes, as 32 bytes;
 * 2. at the end the disk's size in bytes, as 8 bytes.
 *
 * Numbers are unsigned and big-endian. Zeros count alike whether they are stored or not. Formats that keep sizes in larger
 * units round the size up with zeros: then the size is the one that the disk had before.
 */
export class ContentHash {
  readonly #virtualSize: number
  readonly #whole = createHash('sha256')
  /** A block that comes in pieces: what is left out of it is zeros. */
  readonly #block = Buffer.alloc(BLOCK_BYTES)
  #index = -1
  #end = 0

  /** @param virtualSize bytes of the disk */
  constructor(virtualSize: number) {
    this.#virtualSize = virtualSize
  }

  /** Takes bytes of the disk, from front to back; what is left out is zeros. Past the disk's end there may be zeros only. */
  update(offset: number, bytes: Uint8Array): void {
    if (offset < this.#end) throw new Error(`content at ${offset} came after ${this.#end}`)
    this.#end = offset + bytes.length
    for (let from = 0; from < bytes.length; ) {
      const index = Math.floor((offset + from) / BLOCK_BYTES)
      const inBlock = (offset + from) % BLOCK_BYTES
      const piece = bytes.subarray(from, from + BLOCK_BYTES - inBlock)
      if (index !== this.#index) this.#flush()
      if (piece.length === BLOCK_BYTES) this.#add(index, piece)
      else {
        this.#index = index
        this.#block.set(piece, inBlock)
      }
      from += piece.length
    }
  }

  digest(): string {
    this.#flush()
    return this.#whole.update(uint64(this.#virtualSize)).digest('hex')
  }

  #flush(): void {
    if (this.#index >= 0) {
      this.#add(this.#index, this.#block)
      this.#block.fill(0)
    }
    this.#index = -1
  }

  #add(index: number, block: Uint8Array): void {
    if (ZEROS.equals(block)) return
    this.#whole.update(uint64(index)).update(createHash('sha256').update(block).digest())
  }
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
