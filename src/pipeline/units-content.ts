import type { SentFile } from '../domain/task.ts'
import { CONTENT_HASH } from '../hashing/content-hash.ts'
import type { ContentStream } from '../hashing/hashers.ts'
import type { Engine } from './engine.ts'
import { LentCopies } from './lent-copies.ts'

/** The hash of a disk's content, from the units of a packing as they are read. */
export class UnitsContent implements Disposable {
  readonly #copies: LentCopies
  readonly #stream: ContentStream

  /** @param virtualSize bytes of the disk */
  constructor({ hashers, buffers }: Pick<Engine, 'hashers' | 'buffers'>, virtualSize: number, signal: AbortSignal) {
    this.#copies = new LentCopies(buffers, signal)
    this.#stream = hashers.startContent(virtualSize)
  }

  /** Units in rising order; `bytes` has them one after another, and is the caller's again when this returns. */
  async take(units: readonly number[], unitBytes: number, bytes: Uint8Array): Promise<void> {
    for (const [i, unit] of units.entries()) {
      await this.#copies.lend(bytes.subarray(i * unitBytes, (i + 1) * unitBytes), (piece, at, done) =>
        this.#stream.update(unit * unitBytes + at, piece, done)
      )
    }
  }

  async digest(): Promise<Pick<SentFile, 'contentHash'>> {
    return { contentHash: { algo: CONTENT_HASH, value: await this.#stream.digest() } }
  }

  [Symbol.dispose](): void {
    this.#stream[Symbol.dispose]()
    this.#copies[Symbol.dispose]()
  }
}
