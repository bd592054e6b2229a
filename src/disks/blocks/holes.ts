import type { RandomAccess } from '../disk.ts'
import { lowerBound } from './lower-bound.ts'

/**
 * Where the store knows that a file is all zeros. A block that lies there reads as zeros without being read, and need not be
 * written: so images that were filled with zeros before use do not carry them out.
 */
export class Holes {
  readonly #starts: Float64Array
  readonly #ends: Float64Array
  readonly #known: boolean

  constructor({ dataRanges }: RandomAccess) {
    this.#known = dataRanges !== undefined
    this.#starts = Float64Array.from(dataRanges ?? [], ({ offset }) => offset)
    this.#ends = Float64Array.from(dataRanges ?? [], ({ offset, length }) => offset + length)
  }

  /** Whether all of this range of the file is known to be zeros. */
  cover(offset: number, length: number): boolean {
    if (!this.#known) return false
    const next = lowerBound(this.#ends, offset + 1) // the first data that ends behind `offset`
    return next === this.#starts.length || (this.#starts[next] ?? 0) >= offset + length
  }
}
