import type { Clock } from '../ports.ts'

/** What happened so long ago has about a third of its weight. */
const MEMORY_MS = 5_000

/** How fast something grows, smoothed so that it can be shown. */
export class SmoothedRate {
  readonly #clock: Clock
  #last: { readonly at: number; readonly value: number } | undefined
  #perSecond: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The rate per second now that `value` was reached; null until it has grown. A value that falls starts anew from there. */
  at(value: number): number | null {
    const at = this.#clock()
    const { at: before, value: from } = this.#last ?? { at, value }
    this.#last = { at, value }
    const elapsed = at - before
    if (elapsed <= 0 || value < from || (this.#perSecond === null && value === from)) return this.#perSecond
    const now = (1000 * (value - from)) / elapsed
    const weight = this.#perSecond === null ? 1 : 1 - Math.exp(-elapsed / MEMORY_MS)
    this.#perSecond = (this.#perSecond ?? 0) + weight * (now - (this.#perSecond ?? 0))
    return this.#perSecond
  }
}
