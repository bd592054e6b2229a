import { setTimeout as sleep } from 'node:timers/promises'

type Time = { now(): number; wait(ms: number, signal: AbortSignal): Promise<void> }

const REAL_TIME: Time = { now: () => performance.now(), wait: (ms, signal) => sleep(ms, undefined, { signal }) }

/** Lets bytes pass at no more than `bytesPerSecond`, over all parts of an upload together. */
export class Bandwidth {
  readonly #bytesPerMs: number
  readonly #time: Time
  /** When what has passed so far would have passed at exactly that speed. */
  #freeAt = 0

  constructor(bytesPerSecond: number, time = REAL_TIME) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#time = time
  }

  /** Returns when these bytes may go. Rejects when `signal` fires. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#time.now()
    const from = Math.max(now, this.#freeAt)
    this.#freeAt = from + bytes / this.#bytesPerMs
    if (from > now) await this.#time.wait(from - now, signal)
  }
}
