import type { Removed } from '../../destinations/destination.ts'
import { ExportError } from '../../domain/errors.ts'
import type { Cleanup } from '../../domain/task.ts'

/** A removal has to end: the task waits for it. */
const REMOVAL_MS = 60_000

/** Removes what an attempt has sent, and remembers what became of it. A failed removal never hides why there was one. */
export class CleanupReport {
  readonly #removed: string[] = []
  readonly #left: { what: string; why: string }[] = []
  readonly #onFailure: (what: string, error: unknown) => void

  constructor(onFailure: (what: string, error: unknown) => void) {
    this.#onFailure = onFailure
  }

  /** @param what the thing to be removed, in plain words */
  async remove(what: string, removal: (signal: AbortSignal) => Promise<Removed>, limitMs = REMOVAL_MS): Promise<void> {
    try {
      this.add(await bounded(removal, limitMs))
    } catch (error) {
      this.failed(what, error)
    }
  }

  add(removed: Removed): void {
    this.#removed.push(...removed)
  }

  failed(what: string, error: unknown): void {
    this.#onFailure(what, error)
    // Only what was written for users is repeated to them.
    const why =
      error instanceof ExportError ? error.message : 'it could not be removed; the operator can see why in the log'
    this.#left.push({ what, why })
  }

  /** Null when there was nothing to do. */
  get report(): Cleanup | null {
    if (this.#removed.length + this.#left.length === 0) return null
    return { state: this.#left.length > 0 ? 'partial' : 'done', removed: this.#removed, left: this.#left }
  }
}

/** Races, as `abort` takes no signal. */
async function bounded(removal: (signal: AbortSignal) => Promise<Removed>, limitMs: number): Promise<Removed> {
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = new AbortController()
  const timer = setTimeout(() => {
    const late = new RemovalTimedOut(limitMs)
    stop.abort(late)
    reject(late)
  }, limitMs)
  try {
    return await Promise.race([removal(stop.signal), promise])
  } finally {
    clearTimeout(timer)
  }
}

class RemovalTimedOut extends ExportError {
  readonly code = 'CHECK_TIMED_OUT'
  readonly permanent = false
  readonly actor = 'destination'

  constructor(limitMs: number) {
    super(`The destination did not answer within ${limitMs / 1000} seconds.`)
  }
}
