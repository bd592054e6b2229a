import { MiB } from '../domain/bytes.ts'
import type { Buffers } from './buffers.ts'

const BLOCK_BYTES = MiB

type Block = { readonly buffer: Buffer; filled: number }

/** What a first pass made, kept so that the second need not make it again: all of it, or nothing where it was too much. */
export class KeptBody implements Disposable {
  readonly #buffers: Buffers
  #blocks: Block[] | undefined = []

  constructor(buffers: Buffers) {
    this.#buffers = buffers
  }

  /** Whether `chunks` is everything that was added. */
  get whole(): boolean {
    return this.#blocks !== undefined
  }

  /** The bytes are copied. */
  add(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const block = this.#roomyBlock()
      if (!block) {
        this[Symbol.dispose]()
        return
      }
      const piece = bytes.subarray(from, from + BLOCK_BYTES - block.filled)
      block.buffer.set(piece, block.filled)
      block.filled += piece.length
      from += piece.length
    }
  }

  *chunks(): Generator<Uint8Array> {
    for (const { buffer, filled } of this.#blocks ?? []) yield buffer.subarray(0, filled)
  }

  [Symbol.dispose](): void {
    for (const { buffer } of this.#blocks ?? []) this.#buffers.giveBackSpare(buffer)
    this.#blocks = undefined
  }

  #roomyBlock(): Block | undefined {
    const last = this.#blocks?.at(-1)
    if (last && last.filled < BLOCK_BYTES) return last
    const buffer = this.#blocks && this.#buffers.takeSpare(BLOCK_BYTES)
    if (!buffer) return undefined
    const block = { buffer, filled: 0 }
    this.#blocks?.push(block)
    return block
  }
}
