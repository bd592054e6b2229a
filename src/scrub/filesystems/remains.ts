import { type ByteRanges, RangesBuilder } from '../byte-ranges.ts'
import { Refused } from '../refused.ts'

/** 80 MiB of memory. */
const MAX_PIECES = 4 * 1024 * 1024

/** Collects pieces of a volume in any order: what lies in blocks that are in use, but is nobody's. */
export class Remains {
  #starts = new Float64Array(64)
  #lengths = new Float64Array(64)
  #count = 0

  /** In bytes of the volume. Throws Refused when there are too many to keep. */
  add(offset: number, length: number): void {
    if (length <= 0) return
    if (this.#count === MAX_PIECES)
      throw new Refused('too-many-ranges', 'it is in too many pieces to keep a list of them')
    if (this.#count === this.#starts.length) {
      this.#starts = twice(this.#starts)
      this.#lengths = twice(this.#lengths)
    }
    this.#starts[this.#count] = offset
    this.#lengths[this.#count] = length
    this.#count += 1
  }

  build(): ByteRanges {
    const starts = this.#starts
    const order = Uint32Array.from({ length: this.#count }, (_, i) => i)
    order.sort((one, other) => (starts[one] ?? 0) - (starts[other] ?? 0))
    const ranges = new RangesBuilder()
    let end = 0
    for (const i of order) {
      const from = Math.max(end, starts[i] ?? 0)
      end = Math.max(end, (starts[i] ?? 0) + (this.#lengths[i] ?? 0))
      if (from < end) ranges.add(from, end - from)
    }
    return ranges.build()
  }
}

function twice(numbers: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(numbers.length * 2)
  copy.set(numbers)
  return copy
}
