import type { Chunk } from './read-layout.ts'

type Uses = {
  /** The first `bytes` of the part once more, from the disk. */
  reread(bytes: number): AsyncIterable<Chunk>
  /** Told of bytes as they are handed over; below 0 when they were so in vain. */
  onSent(bytes: number): void
}

/**
 * Hands one part's chunks from the reader to the upload, as often as it has to be sent. The reader comes by once: what a try
 * that failed has used up is read again, what comes later is taken from here. The queue has no limit of its own: the reader
 * waits when too much is held.
 */
export class PartFeed {
  readonly #uses: Uses
  readonly #chunks: Chunk[] = []
  #pushedBytes = 0
  /** At the beginning of the part, not in the queue any more. */
  #goneBytes = 0
  #givenBytes = 0
  #tries = 0
  #ended = false
  #failure: { readonly reason: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(uses: Uses) {
    this.#uses = uses
  }

  push(chunk: Chunk): void {
    if (this.#failure) {
      chunk.release()
      return
    }
    this.#pushedBytes += chunk.bytes.length
    this.#chunks.push(chunk)
    this.#wakeUp()
  }

  end(): void {
    this.#ended = true
    this.#wakeUp()
  }

  /** Whoever reads this part gets `reason` thrown as soon as it asks again. */
  fail(reason: unknown): void {
    this.#failure = { reason }
    this.#release()
  }

  /** The whole part for one try. The try before it must have been forgotten. */
  async *body(): AsyncGenerator<Uint8Array> {
    const tries = this.#tries
    for await (const { bytes, release } of this.#chunksOf(tries)) {
      try {
        yield bytes
      } finally {
        release()
      }
      if (tries !== this.#tries) return
      this.#givenBytes += bytes.length // the upload asked again, so this chunk is on its way
      this.#uses.onSent(bytes.length)
    }
  }

  /** Ends a try that failed, and frees what was waiting for it. @returns the bytes that it had used up */
  forget(): number {
    const given = this.#givenBytes
    this.#uses.onSent(-given)
    this.#givenBytes = 0
    this.#tries++
    this.#goneBytes = this.#pushedBytes
    this.#release()
    return given
  }

  async *#chunksOf(tries: number): AsyncGenerator<Chunk> {
    if (this.#goneBytes > 0) yield* this.#uses.reread(this.#goneBytes)
    while (tries === this.#tries) {
      if (this.#failure) throw this.#failure.reason
      const chunk = this.#chunks.shift()
      if (chunk) yield chunk
      else if (this.#ended) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }

  #release(): void {
    for (const { release } of this.#chunks.splice(0)) release()
    this.#wakeUp()
  }

  /** A try that failed may still wait for a chunk: it wakes up, and must not take what is for the next. */
  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}
