import type { ByteSource } from '../domain/bytes.ts'
import type { Chunk } from './read-layout.ts'

/**
 * Hands one part's chunks from the reader to the upload. The queue has no limit of its own: chunks hold buffers of the pool,
 * and the pool is what makes the reader wait.
 */
export class PartFeed implements ByteSource {
  readonly #chunks: Chunk[] = []
  readonly #onSent: (bytes: number) => void
  #ended = false
  #failure: { readonly reason: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(onSent: (bytes: number) => void) {
    this.#onSent = onSent
  }

  push(chunk: Chunk): void {
    this.#chunks.push(chunk)
    this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** Whoever reads this part gets `reason` thrown as soon as it asks again. */
  fail(reason: unknown): void {
    this.#failure = { reason }
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#failure) throw this.#failure.reason
      const chunk = this.#chunks.shift()
      if (chunk) {
        yield chunk.bytes
        this.#onSent(chunk.bytes.length) // the reader asked again, so this chunk is on its way
        chunk.release()
      } else if (this.#ended) {
        return
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = undefined
      }
    }
  }
}
