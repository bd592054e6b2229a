import type { SegmentPath } from './segments.ts'

/** Of an object that is replaced. */
export type Replaced = {
  /** Segments that nothing will name afterwards. */
  readonly segments: readonly SegmentPath[]
  /** Whether it names what may be anybody's besides, or cannot be read: that stays. */
  readonly others: boolean
}

export const NOTHING_REPLACED: Replaced = { segments: [], others: false }

export const joined = (one: Replaced, other: Replaced): Replaced => ({
  segments: [...new Set([...one.segments, ...other.segments])],
  others: one.others || other.others
})
