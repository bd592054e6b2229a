import { lowerBound } from '../disks/blocks/lower-bound.ts'
import type { Range } from '../disks/disk.ts'
import { Refused } from './refused.ts'

/** 64 MiB of memory; a file system that is in more pieces than this was made so. */
const MAX_RANGES = 4 * 1024 * 1024

/** Ranges of bytes, rising and apart from each other: 16 bytes of memory each. */
export class ByteRanges implements Iterable<Range> {
  readonly #starts: Float64Array
  readonly #ends: Float64Array

  /** @param starts rising; with `ends`, both of one length, see RangesBuilder */
  constructor(starts: Float64Array, ends: Float64Array) {
    this.#starts = starts
    this.#ends = ends
  }

  get count(): number {
    return this.#starts.length
  }

  /** Bytes in all. */
  get bytes(): number {
    return this.#ends.reduce((sum, end, i) => sum + end - (this.#starts[i] ?? 0), 0)
  }

  [Symbol.iterator](): Iterator<Range> {
    return this.within(0, Infinity)
  }

  /** What of the ranges lies in [from, to). */
  *within(from: number, to: number): Generator<Range, void> {
    for (let i = lowerBound(this.#ends, from + 1); i < this.count; i += 1) {
      const start = Math.max(from, this.#starts[i] ?? Infinity)
      const end = Math.min(to, this.#ends[i] ?? 0)
      if (start >= end) return
      yield { offset: start, length: end - start }
    }
  }

  /** Whether any of [from, to) lies in the ranges. */
  meet(from: number, to: number): boolean {
    return (this.#starts[lowerBound(this.#ends, from + 1)] ?? Infinity) < to
  }
}

/** Takes ranges in their order, which may touch but not overlap, and joins those that touch. */
export class RangesBuilder {
  #starts = new Float64Array(64)
  #ends = new Float64Array(64)
  #count = 0

  /** Throws Refused when there are too many to keep. */
  add(offset: number, length: number): void {
    const end = this.#count === 0 ? 0 : (this.#ends[this.#count - 1] ?? 0)
    if (length <= 0 || offset < end) throw new RangeError(`a range of ${length} bytes at ${offset} after ${end}`)
    if (this.#count > 0 && offset === end) this.#ends[this.#count - 1] = offset + length
    else {
      if (this.#count === MAX_RANGES)
        throw new Refused('too-many-ranges', 'it is in too many pieces to keep a list of them')
      if (this.#count === this.#starts.length) this.#grow()
      this.#starts[this.#count] = offset
      this.#ends[this.#count] = offset + length
      this.#count += 1
    }
  }

  build(): ByteRanges {
    return new ByteRanges(this.#starts.slice(0, this.#count), this.#ends.slice(0, this.#count))
  }

  #grow(): void {
    const larger = (numbers: Float64Array) => {
      const copy = new Float64Array(numbers.length * 2)
      copy.set(numbers)
      return copy
    }
    this.#starts = larger(this.#starts)
    this.#ends = larger(this.#ends)
  }
}
