/**
 * Which guest clusters hold data: one bit each, for those L2 tables only that exist. So it takes at most a 64th of the
 * tables in the file, however the disk is fragmented.
 */
export class Allocated {
  readonly #perTable: number
  /** Place of each L1 entry's bits; -1 where there is no L2 table. */
  readonly #slots: Int32Array
  readonly #bits: Uint8Array

  /** @param l2Offsets of the L1 entries, 0 where there is no L2 table */
  constructor(l2Offsets: Float64Array, clusterBytes: number) {
    this.#perTable = clusterBytes / 8
    let used = 0
    this.#slots = Int32Array.from(l2Offsets, (offset) => (offset === 0 ? -1 : used++))
    this.#bits = new Uint8Array((used * this.#perTable) / 8)
  }

  add(guestCluster: number): void {
    const bit = this.#bit(guestCluster)
    this.#bits[Math.floor(bit / 8)] = (this.#bits[Math.floor(bit / 8)] ?? 0) | (1 << (bit % 8))
  }

  has(guestCluster: number): boolean {
    const bit = this.#bit(guestCluster)
    return bit >= 0 && ((this.#bits[Math.floor(bit / 8)] ?? 0) & (1 << (bit % 8))) !== 0
  }

  /** How many clusters from `first` on, and below `end`, are like `first`. */
  runLength(first: number, end: number): number {
    const data = this.has(first)
    const full = data ? 0xff : 0
    let at = first
    while (at < end) {
      const bit = this.#bit(at)
      if (bit < 0) {
        if (data) break
        at += this.#perTable - (at % this.#perTable)
      } else if (bit % 8 === 0 && this.#bits[bit / 8] === full) at += 8
      else if (this.has(at) === data) at += 1
      else break
    }
    return Math.min(at, end) - first
  }

  #bit(guestCluster: number): number {
    const slot = this.#slots[Math.floor(guestCluster / this.#perTable)] ?? -1
    return slot < 0 ? -1 : slot * this.#perTable + (guestCluster % this.#perTable)
  }
}
