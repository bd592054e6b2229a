import { MiB } from '../domain/bytes.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Buffers } from './buffers.ts'

const COPY_BYTES = MiB
/** One that is read while the other is filled. */
const COPIES = 2

/** Gives bytes to other threads that are the caller's again at once, in copies which are used again. */
export class LentCopies implements Disposable {
  readonly #pool: BufferPool
  readonly #signal: AbortSignal

  constructor(buffers: Buffers, signal: AbortSignal) {
    this.#pool = new BufferPool(buffers, COPY_BYTES, COPIES)
    this.#signal = signal
  }

  /** @param to is given the bytes piece by piece, the place of each in `bytes`, and has to call `done` with each */
  async lend(bytes: Uint8Array, to: (piece: Uint8Array, at: number, done: () => void) => void): Promise<void> {
    for (let at = 0; at < bytes.length; at += COPY_BYTES) {
      const buffer = await this.#pool.acquire(this.#signal)
      const piece = bytes.subarray(at, at + COPY_BYTES)
      buffer.set(piece)
      to(buffer.subarray(0, piece.length), at, () => this.#pool.release(buffer))
    }
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]()
  }
}
