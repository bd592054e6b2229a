import { setTimeout as sleep } from 'node:timers/promises'

type Time = { now(): number; wait(ms: number, signal: AbortSignal): Promise<void> }

const REAL_TIME: Time = { now: () => performance.now(), wait: (ms, signal) => sleep(ms, undefined, { signal }) }
/** Whoever waits looks again so often whether another speed is allowed. */
const LOOK_MS = 250

/** Lets bytes pass no faster than is allowed, over all parts of an upload together. What is allowed may change meanwhile. */
export class Bandwidth {
  readonly #time: Time
  /** Infinity where there is no limit. */
  #bytesPerMs: number
  /** Bytes that were let in, and those of them that have passed at exactly that speed until `#at`. */
  #let = 0
  #passed = 0
  #at: number
  #heldBack = false

  /** @param bytesPerSecond undefined is as fast as can be */
  constructor(bytesPerSecond: number | undefined, time = REAL_TIME) {
    this.#bytesPerMs = perMs(bytesPerSecond)
    this.#time = time
    this.#at = time.now()
  }

  /** Infinity where there is no limit. */
  get bytesPerSecond(): number {
    return this.#bytesPerMs * 1000
  }

  allow(bytesPerSecond: number | undefined): void {
    this.#letPass()
    this.#bytesPerMs = perMs(bytesPerSecond)
  }

  /** Whether anybody had to wait since this was asked last. */
  wasHeldBack(): boolean {
    const held = this.#heldBack
    this.#heldBack = false
    return held
  }

  /**
   * Returns when these bytes may go: when those before them have passed. Rejects when `signal` fires.
   * @returns whether they had to wait
   */
  async take(bytes: number, signal: AbortSignal): Promise<boolean> {
    this.#letPass()
    const before = this.#let
    this.#let += bytes
    for (let waited = false; ; waited = true) {
      const waitMs = (before - this.#letPass()) / this.#bytesPerMs
      if (waitMs < 0.01) return waited
      this.#heldBack = true
      await this.#time.wait(Math.min(waitMs, LOOK_MS), signal)
    }
  }

  /** A pause saves nothing up: no more passes than was let in. */
  #letPass(): number {
    const now = this.#time.now()
    const elapsed = (now - this.#at) * this.#bytesPerMs
    this.#passed = Number.isFinite(this.#bytesPerMs) ? Math.min(this.#let, this.#passed + elapsed) : this.#let
    this.#at = now
    return this.#passed
  }
}

const perMs = (bytesPerSecond = Number.POSITIVE_INFINITY): number => bytesPerSecond / 1000
