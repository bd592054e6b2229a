import type { Disk } from '../disks/disk.ts'
import { roundUp } from '../domain/bytes.ts'

/**
 * Runs of consecutive units (clusters, blocks, grains) that hold data, with their rank: how many such units lie before.
 * One entry a run, so it grows with fragmentation and not with the disk.
 */
export type UnitRuns = {
  readonly unitBytes: number
  /** First unit of each run, rising. */
  readonly starts: Float64Array
  /** Units in each run, above 0. */
  readonly counts: Float64Array
  /** Units of data before each run. */
  readonly ranks: Float64Array
  /** Units of data in all. */
  readonly total: number
}

/** Which ranges of a disk hold data. A value: formats are laid out from it without touching the disk. */
export class AllocationMap {
  readonly virtualSize: number
  /** Where each run of data starts and ends, bytes, rising, apart from each other. */
  readonly #starts: Float64Array
  readonly #ends: Float64Array

  private constructor(virtualSize: number, starts: Float64Array, ends: Float64Array) {
    this.virtualSize = virtualSize
    this.#starts = starts
    this.#ends = ends
  }

  static async of(disk: Disk): Promise<AllocationMap> {
    const starts: number[] = []
    const ends: number[] = []
    let at = 0
    for await (const { offset, length, data } of disk.extents()) {
      if (offset !== at || length <= 0) throw new Error(`extents of a disk must be contiguous: ${offset} after ${at}`)
      at = offset + length
      if (!data) continue
      if (ends.at(-1) === offset) ends[ends.length - 1] = at
      else {
        starts.push(offset)
        ends.push(at)
      }
    }
    if (at !== disk.virtualSize) throw new Error(`extents cover ${at} of ${disk.virtualSize} bytes`)
    return new AllocationMap(disk.virtualSize, Float64Array.from(starts), Float64Array.from(ends))
  }

  /** Bytes that hold data. */
  get dataBytes(): number {
    return this.#ends.reduce((sum, end, i) => sum + end - (this.#starts[i] ?? 0), 0)
  }

  /** The map in units of `unitBytes`: a unit that holds any data is data. The last unit may reach past the disk's end. */
  units(unitBytes: number): UnitRuns {
    const starts: number[] = []
    const counts: number[] = []
    let end = -1
    this.#starts.forEach((start, i) => {
      const first = Math.floor(start / unitBytes)
      const next = roundUp(this.#ends[i] ?? 0, unitBytes) / unitBytes
      if (first <= end && counts.length > 0) {
        counts[counts.length - 1] = (counts.at(-1) ?? 0) + Math.max(0, next - end)
      } else {
        starts.push(first)
        counts.push(next - first)
      }
      end = Math.max(end, next)
    })
    const ranks = new Float64Array(counts.length)
    let total = 0
    counts.forEach((count, i) => {
      ranks[i] = total
      total += count
    })
    return { unitBytes, starts: Float64Array.from(starts), counts: Float64Array.from(counts), ranks, total }
  }
}

/** Index of the last value in `sorted` that is not above `value`; -1 when all are. */
export function lastNotAbove(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] ?? 0) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}
