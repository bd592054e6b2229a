/**
 * Which blocks of the disk hold data: one bit each, for those tables only that exist. So it takes a small part of what the
 * tables take in the file, however the disk is fragmented.
 */
export class Allocated {
  readonly #perTable: number
  /** Place of each table's bits; -1 where there is no table. */
  readonly #slots: Int32Array
  readonly #bits: Uint8Array

  /**
   * @param tables offsets of the tables that map the disk, in its order; 0 where there is none
   * @param perTable blocks that one table maps, a multiple of 8
   */
  constructor(tables: Float64Array, perTable: number) {
    this.#perTable = perTable
    let used = 0
    this.#slots = Int32Array.from(tables, (offset) => (offset === 0 ? -1 : used++))
    this.#bits = new Uint8Array((used * perTable) / 8)
  }

  add(block: number): void {
    const bit = this.#bit(block)
    this.#bits[Math.floor(bit / 8)] = (this.#bits[Math.floor(bit / 8)] ?? 0) | (1 << (bit % 8))
  }

  has(block: number): boolean {
    const bit = this.#bit(block)
    return bit >= 0 && ((this.#bits[Math.floor(bit / 8)] ?? 0) & (1 << (bit % 8))) !== 0
  }

  /** How many blocks from `first` on, and below `end`, are like `first`. */
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

  #bit(block: number): number {
    const slot = this.#slots[Math.floor(block / this.#perTable)] ?? -1
    return slot < 0 ? -1 : slot * this.#perTable + (block % this.#perTable)
  }
}
