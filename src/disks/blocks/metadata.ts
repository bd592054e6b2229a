import { ImageUnsafe } from '../../domain/errors.ts'
import { lowerBound } from './lower-bound.ts'
import type { Table } from './table.ts'

/**
 * Where a file holds metadata, in units of its clusters or sectors. No two structures share a unit, and no guest data may
 * lie in one.
 */
export class Metadata {
  /** Numbers of units, rising. */
  readonly #units: Float64Array

  private constructor(units: Float64Array) {
    this.#units = units
  }

  /**
   * Throws ImageUnsafe when two of the structures overlap; the header takes unit 0.
   * @param single offsets in bytes of structures that take one unit each
   */
  static of(unitBytes: number, tables: readonly Table[], ...single: readonly Float64Array[]): Metadata {
    const spans = tables.map(({ offset, bytes }) => ({
      first: offset / unitBytes,
      count: Math.ceil(bytes / unitBytes)
    }))
    const total =
      1 + spans.reduce((sum, { count }) => sum + count, 0) + single.reduce((sum, { length }) => sum + length, 0)
    const units = new Float64Array(total)
    let next = 1
    for (const { first, count } of spans) for (let i = 0; i < count; i += 1) units[next++] = first + i
    for (const offsets of single) for (const offset of offsets) units[next++] = offset / unitBytes
    units.sort()
    if (units.some((unit, i) => i > 0 && unit === units[i - 1])) {
      throw new ImageUnsafe('metadata_overlap', 'two of its tables lie in the same place')
    }
    return new Metadata(units)
  }

  /** True when one of the units [first, first + count) holds metadata. */
  meets(first: number, count: number): boolean {
    return (this.#units[lowerBound(this.#units, first)] ?? Infinity) < first + count
  }

  [Symbol.iterator](): Iterator<number> {
    return this.#units.values()
  }
}
