import { createHash } from 'node:crypto'
import { KiB } from '../domain/bytes.ts'

/** Bytes [from, to) of a file, and their SHA-256, lower-case hex. */
export type SampledRange = { readonly from: number; readonly to: number; readonly sha256: string }

export const SAMPLE_BYTES = 64 * KiB
/** Besides the ends. */
const CHOSEN = 30

type Candidate = SampledRange & { readonly rank: number }

/**
 * Keeps the digests of about 32 ranges of a file that nobody can make again, whose length nobody knows yet: the beginning, the
 * end, and those that `seed` ranks lowest among all that pass. Memory and hashing do not grow with the file: of the n-th range
 * one in n/30 is hashed.
 */
export class RangeSample {
  readonly #seed: string
  readonly #ends: SampledRange[] = []
  /** By rank. */
  #chosen: Candidate[] = []
  readonly #block = Buffer.alloc(SAMPLE_BYTES)
  #from = 0
  #filled = 0

  constructor(seed: string) {
    this.#seed = seed
  }

  /** Bytes of the file from `at` on, in runs that follow each other in any order. */
  take(at: number, bytes: Uint8Array): void {
    if (at !== this.#from + this.#filled) {
      this.#endRun()
      this.#from = at
    }
    for (let done = 0; done < bytes.length; ) {
      if (this.#filled === SAMPLE_BYTES) this.#nextBlock()
      const piece = bytes.subarray(done, done + SAMPLE_BYTES - this.#filled)
      this.#block.set(piece, this.#filled)
      this.#filled += piece.length
      done += piece.length
    }
  }

  /** In the file's order. */
  finish(): SampledRange[] {
    this.#endRun()
    const ranges = new Map([...this.#chosen, ...this.#ends].map(({ from, to, sha256 }) => [from, { from, to, sha256 }]))
    return [...ranges.values()].sort((a, b) => a.from - b.from)
  }

  #nextBlock(): void {
    if (this.#from === 0) this.#ends.push(this.#digest())
    else this.#choose()
    this.#from += SAMPLE_BYTES
    this.#filled = 0
  }

  /** A run may end where the file does. */
  #endRun(): void {
    if (this.#filled > 0) this.#ends.push(this.#digest())
    this.#filled = 0
  }

  #choose(): void {
    const rank = createHash('sha256').update(`${this.#seed}/${this.#from}`).digest().readUIntBE(0, 6)
    const last = this.#chosen.at(CHOSEN - 1)
    if (last && rank >= last.rank) return
    this.#chosen = [...this.#chosen, { ...this.#digest(), rank }].sort((a, b) => a.rank - b.rank).slice(0, CHOSEN)
  }

  #digest(): SampledRange {
    const bytes = this.#block.subarray(0, this.#filled)
    return {
      from: this.#from,
      to: this.#from + this.#filled,
      sha256: createHash('sha256').update(bytes).digest('hex')
    }
  }
}
