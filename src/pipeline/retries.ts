import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../domain/bytes.ts'
import { DestinationError } from '../domain/destination-errors.ts'

export type RetryRules = {
  /** How often one part is sent, at least 1. */
  readonly tries: number
  /** From 0 up to 1. */
  random(): number
  wait(ms: number, signal: AbortSignal): Promise<void>
}

export const retryRules = (tries: number): RetryRules => ({
  tries,
  random: Math.random,
  wait: (ms, signal) => sleep(ms, undefined, { signal })
})

const BACKOFF_BASE_MS = 1_000
const BACKOFF_CAP_MS = 30_000
/** Whoever asks for a longer pause gets it from the whole task, which does not keep a worker waiting. */
const LONGEST_ASKED_MS = 60_000
/** Failures of one attempt: a destination that fails now and then may do so in proportion to the parts. */
const FAILURES_OF_ANY = 32
const FAILURES_A_PART = 0.1
/** Bytes sent in vain: below this a small file may fail as often as any. */
const LOST_OF_ANY_BYTES = 256 * MiB

type Retry = { readonly error: DestinationError; readonly tries: number; readonly delayMs: number }

/**
 * Decides for one attempt what is tried again, when, and how often in all. Only a destination's own passing failures are: a
 * source that cannot be read stays so, and what is permanent ends the attempt at once.
 */
export class Retries {
  /** Bytes that were handed to a destination in vain, so far. */
  lostBytes = 0
  readonly #rules: RetryRules
  readonly #onRetry: (retry: Retry) => void
  readonly #mostLostBytes: number
  #failuresLeft: number

  /** @param file bytes of the whole file, and in how many parts it is sent */
  constructor(
    rules: RetryRules,
    file: { readonly length: number; readonly parts: number },
    onRetry: (retry: Retry) => void = () => {}
  ) {
    this.#rules = rules
    this.#onRetry = onRetry
    this.#mostLostBytes = Math.max(file.length, LOST_OF_ANY_BYTES)
    this.#failuresLeft = FAILURES_OF_ANY + Math.ceil(file.parts * FAILURES_A_PART)
  }

  /**
   * Runs `work` until it succeeds.
   * @param lost how many bytes a try that just failed had handed over
   * @throws what `work` threw, as soon as it is not to be tried again; the reason of `signal`
   */
  async run<T>(signal: AbortSignal, work: () => Promise<T>, lost: () => number = () => 0): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work()
      } catch (error) {
        signal.throwIfAborted()
        await this.#pause(error, tries, lost(), signal)
      }
    }
  }

  async #pause(error: unknown, tries: number, lostBytes: number, signal: AbortSignal): Promise<void> {
    this.lostBytes += lostBytes
    if (!(error instanceof DestinationError) || error.permanent) throw error
    const { retryAfterMs = 0 } = error
    const enough = tries >= this.#rules.tries || this.#failuresLeft === 0 || this.lostBytes > this.#mostLostBytes
    if (enough || retryAfterMs > LONGEST_ASKED_MS) throw error
    this.#failuresLeft--
    const delayMs = retryAfterMs + this.#backoffMs(tries)
    this.#onRetry({ error, tries, delayMs })
    await this.#rules.wait(delayMs, signal).catch((cause: unknown) => {
      signal.throwIfAborted()
      throw cause
    })
  }

  /** Full jitter: a random time below a bound that doubles. On top of an asked pause, so that parts do not come back as one. */
  #backoffMs(tries: number): number {
    return Math.round(this.#rules.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (tries - 1)))
  }
}
