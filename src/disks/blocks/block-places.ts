import { ImageUnsafe } from '../../domain/errors.ts'
import type { Metadata } from './metadata.ts'

/** `count` blocks that follow each other: in the file from `offset` on, or nowhere when it is undefined. */
export type BlockRun = { readonly offset: number | undefined; readonly count: number }

/**
 * Where the blocks of a disk lie in its file. Neighbours are kept as one run, so a disk that was written in order takes
 * a few numbers, and any other three for each of its blocks.
 */
export class BlockPlaces {
  readonly #strideBytes: number
  readonly #end: number
  #blocks = 0
  /** Of each run: its first block, how many blocks it has, where the first lies. */
  readonly #firsts: number[] = []
  readonly #counts: number[] = []
  readonly #offsets: number[] = []

  /**
   * @param strideBytes what one block takes in the file, with all that belongs to it
   * @param end where in the file all blocks must have ended
   */
  constructor(strideBytes: number, end: number) {
    this.#strideBytes = strideBytes
    this.#end = end
  }

  /** Blocks are added in their order on the disk. Throws ImageUnsafe when the block lies outside. */
  add(block: number, offset: number): void {
    this.#blocks += 1
    if (offset + this.#strideBytes > this.#end) {
      throw new ImageUnsafe('data_outside', 'a block of its disk lies outside its file')
    }
    // A large table with one place in it again and again would fill the memory before the places are compared.
    if (this.#blocks * this.#strideBytes > this.#end) {
      throw new ImageUnsafe('block_shared', 'it maps more blocks than its file holds')
    }
    const last = this.#firsts.length - 1
    const count = this.#counts[last] ?? 0
    const follows = this.#firsts[last] === block - count && this.#offsets[last] === offset - count * this.#strideBytes
    if (follows) this.#counts[last] = count + 1
    else {
      this.#firsts.push(block)
      this.#counts.push(1)
      this.#offsets.push(offset)
    }
  }

  /**
   * Throws ImageUnsafe unless every block has its place for itself, apart from all metadata.
   * @param unitBytes in which `metadata` counts; offsets and strides of blocks are multiples of it
   */
  check(metadata: Metadata, unitBytes: number): void {
    const bytes = this.#counts.map((count) => count * this.#strideBytes)
    const starts = Float64Array.from(this.#offsets).sort()
    const ends = Float64Array.from(this.#offsets, (offset, run) => offset + (bytes[run] ?? 0)).sort()
    // Runs are apart when, with both sorted, each ends before the next starts.
    if (starts.some((start, i) => i > 0 && start < (ends[i - 1] ?? 0))) {
      throw new ImageUnsafe('block_shared', 'two blocks of its disk lie in the same place')
    }
    if (this.#offsets.some((offset, run) => metadata.meets(offset / unitBytes, (bytes[run] ?? 0) / unitBytes))) {
      throw new ImageUnsafe('data_in_metadata', 'a block of its disk lies in one of its tables')
    }
  }

  /** The blocks from `block` on, and below `end`, that lie one after another in the file, or are all missing. */
  find(block: number, end: number): BlockRun {
    const index = this.#lastFrom(block)
    const into = block - (this.#firsts[index] ?? 0)
    const left = (this.#counts[index] ?? 0) - into
    if (left > 0) {
      return { offset: (this.#offsets[index] ?? 0) + into * this.#strideBytes, count: Math.min(left, end - block) }
    }
    return { offset: undefined, count: Math.min(this.#firsts[index + 1] ?? end, end) - block }
  }

  /** Index of the last run that starts at `block` or before; -1 when there is none. */
  #lastFrom(block: number): number {
    let low = 0
    let high = this.#firsts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#firsts[middle] ?? 0) <= block) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
