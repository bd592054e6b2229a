import { MiB } from '../../domain/bytes.ts'
import type { FilePlan } from '../attempt/file-plan.ts'
import type { Pace } from '../ports.ts'

/** What an export will cost. Bytes of the file; seconds for the most bytes it can have. */
export type Estimate = {
  readonly bytesMin: number
  readonly bytesMax: number
  readonly seconds: number
  /** What the seconds rest on, for people. */
  readonly basis: string
}

/** Where nothing is known: about 80 Mbit/s. */
const UNKNOWN_BYTES_PER_SECOND = 10 * MiB
/** Looking, opening, committing. */
const OVERHEAD_SECONDS = 2

/** @param limit bytes per second that the user allows */
export function estimateOf(
  plan: Pick<FilePlan, 'minLength' | 'maxLength'>,
  pace: Pace | undefined,
  limit: number | undefined
): Estimate {
  const rate = pace?.bytesPerSecond ?? UNKNOWN_BYTES_PER_SECOND
  const known = pace
    ? `your last ${pace.exports} exports to this place`
    : 'no export of yours to this place yet: 10 MiB/s'
  const limited = limit !== undefined && limit < rate
  return {
    bytesMin: plan.minLength,
    bytesMax: plan.maxLength,
    seconds: Math.ceil(plan.maxLength / (limited ? limit : rate)) + OVERHEAD_SECONDS,
    basis: limited ? 'limits.bandwidth_bps' : known
  }
}
