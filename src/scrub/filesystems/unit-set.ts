import type { Range } from '../../disks/disk.ts'
import { MiB } from '../../domain/bytes.ts'
import { Refused } from '../refused.ts'

/** Of one set: 4 TiB in blocks of 4 KiB, not counting the pages that hold none. */
const MAX_BYTES = 128 * MiB

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length)

/**
 * A set of blocks or clusters: one bit each, lowest bit first as in ext4's bitmaps, in pages that come into being when
 * something is put into them.
 */
export class UnitSet {
  readonly #pageUnits: number
  readonly #pages: (Uint8Array | undefined)[]
  readonly #maxPages: number
  #made = 0

  /**
   * @param units of all pages
   * @param pageUnits a multiple of 8
   */
  constructor(units: number, pageUnits: number) {
    this.#pageUnits = pageUnits
    this.#pages = Array.from({ length: Math.ceil(units / pageUnits) })
    this.#maxPages = MAX_BYTES / (pageUnits / 8)
  }

  /**
   * Puts units in and tells whether all of them are new.
   * Throws Refused when the set becomes larger than is kept in memory.
   */
  add(first: number, count: number): boolean {
    let fresh = true
    for (let at = first; at < first + count; ) {
      const index = Math.floor(at / this.#pageUnits)
      const end = Math.min(first + count, (index + 1) * this.#pageUnits)
      const base = index * this.#pageUnits
      if (!setBits(this.#page(index), at - base, end - base)) fresh = false
      at = end
    }
    return fresh
  }

  /** The bits of one page; undefined when it holds nothing. */
  page(index: number): Uint8Array | undefined {
    return this.#pages[index]
  }

  /** How many units of one page are in the set. */
  count(index: number): number {
    let count = 0
    for (const byte of this.#pages[index] ?? []) count += ONES[byte] ?? 0
    return count
  }

  #page(index: number): Uint8Array {
    const known = this.#pages[index]
    if (known) return known
    this.#made += 1
    if (this.#made > this.#maxPages) throw new Refused('too-large', 'more of it is in use than is kept in memory here')
    const page = new Uint8Array(this.#pageUnits / 8)
    this.#pages[index] = page
    return page
  }
}

/** The runs of bits below `bits` that are not set; a page that does not exist has none set. */
export function* clearRuns(page: Uint8Array | undefined, bits: number): Generator<Range, void> {
  if (!page) return yield { offset: 0, length: bits }
  let from = -1
  for (let at = 0; at < bits; ) {
    const byte = page[at >> 3] ?? 0
    const whole = at % 8 === 0 && at + 8 <= bits && (byte === 0 || byte === 0xff)
    const set = (byte & (1 << (at & 7))) !== 0
    if (!set && from < 0) from = at
    if (set && from >= 0) {
      yield { offset: from, length: at - from }
      from = -1
    }
    at += whole ? 8 : 1
  }
  if (from >= 0) yield { offset: from, length: bits - from }
}

/** Sets [from, to) and tells whether none of it was set. */
function setBits(page: Uint8Array, from: number, to: number): boolean {
  let fresh = true
  for (let at = from; at < to; ) {
    const bits = Math.min(to - at, 8 - (at & 7))
    const mask = ((1 << bits) - 1) << (at & 7)
    const byte = page[at >> 3] ?? 0
    if ((byte & mask) !== 0) fresh = false
    page[at >> 3] = byte | mask
    at += bits
  }
  return fresh
}
