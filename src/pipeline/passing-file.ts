import { createHash, type Hash } from 'node:crypto'
import type { Engine } from './engine.ts'
import { FileDigests } from './file-digests.ts'
import { LentCopies } from './lent-copies.ts'
import { RangeSample } from './range-sample.ts'
import type { Transferred, Wants } from './wants.ts'

/**
 * Learns what is wanted of a packed file whose bytes pass once, in buffers that are not kept. SHA-256 is made here: packing
 * keeps the other threads busy, and one more would only cost its memory.
 */
export class PassingFile implements Disposable {
  readonly #copies: LentCopies
  readonly #sha256: Hash | undefined
  readonly #others: FileDigests | undefined
  readonly #sample: RangeSample | undefined

  /** @param inOrder whether its bytes pass from front to back: only then there are digests of the whole */
  constructor(
    { hashers, buffers }: Pick<Engine, 'hashers' | 'buffers'>,
    wants: Wants,
    inOrder: boolean,
    signal: AbortSignal
  ) {
    const others = new Set(wants.digests.filter((name) => name !== 'sha256'))
    this.#copies = new LentCopies(buffers, signal)
    this.#sha256 = inOrder ? createHash('sha256') : undefined
    this.#others = inOrder && others.size > 0 ? new FileDigests(hashers, others) : undefined
    this.#sample = wants.sample === undefined ? undefined : new RangeSample(wants.sample)
  }

  /** Bytes of the file from `at` on; they are the caller's again when this returns. */
  async take(at: number, bytes: Uint8Array): Promise<void> {
    const others = this.#others
    if (others) await this.#copies.lend(bytes, (piece, _at, done) => others.update(piece, done))
    this.#sample?.take(at, bytes)
    this.#sha256?.update(bytes)
  }

  async facts(): Promise<Pick<Transferred, 'sha256' | 'checksums' | 'sample'>> {
    return {
      sha256: this.#sha256?.digest('hex') ?? null,
      ...(this.#others && { checksums: await this.#others.digest() }),
      ...(this.#sample && { sample: this.#sample.finish() })
    }
  }

  [Symbol.dispose](): void {
    this.#others?.[Symbol.dispose]()
    this.#copies[Symbol.dispose]()
  }
}
