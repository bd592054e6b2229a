import { lastNotAbove, type UnitRuns } from './allocation-map.ts'

/**
 * Calls `visit` for each unit of [from, to) that holds data, in order.
 * `rank` is how many units of data lie before it on the disk, and so its place among the units in the file.
 */
export function eachDataUnit(
  { starts, counts, ranks }: UnitRuns,
  from: number,
  to: number,
  visit: (unit: number, rank: number) => void
): void {
  for (let run = Math.max(0, lastNotAbove(starts, from)); run < starts.length; run++) {
    const start = starts[run] ?? 0
    if (start >= to) return
    const end = Math.min(to, start + (counts[run] ?? 0))
    for (let unit = Math.max(from, start); unit < end; unit++) visit(unit, (ranks[run] ?? 0) + (unit - start))
  }
}
