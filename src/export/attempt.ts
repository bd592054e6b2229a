import type { Removed } from '../destinations/destination.ts'
import type { Phase, Progress, Warning } from '../domain/task.ts'
import { CleanupReport } from './cleanup.ts'
import { type Claim, type Clock, LeaseLost, type Log, type TaskStore } from './ports.ts'

/** Milliseconds. */
export type LeaseTimes = { readonly leaseMs: number }

/** A lease is renewed this often in its life, so that one slow answer of the database does not cost the attempt. */
const BEATS_A_LEASE = 3
/** Progress is shown to people who watch: more often would only be writes. */
const PROGRESS_MS = 1_000

/** Why an attempt was told to stop, as the reason of its signal. */
export class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed'
}
export class WorkerStopping extends Error {
  override readonly name = 'WorkerStopping'
}

/**
 * One run of a task while its lease lasts. `signal` is the attempt's only stop switch: a lost lease, the deadline and the
 * worker's shutdown all fire it. Disposing ends the heartbeat.
 */
export class Attempt implements Disposable {
  readonly claim: Claim
  readonly signal: AbortSignal
  progress: Progress | null = null
  /** What the user should know when it is over. */
  readonly warnings: Warning[] = []
  readonly cleanup: CleanupReport
  /** Removes what this attempt has made visible; there once it has. */
  takeBack: (() => Promise<Removed>) | undefined
  #phase: Phase = 'processing'
  readonly #tasks: TaskStore
  readonly #times: LeaseTimes
  readonly #clock: Clock
  readonly #log: Log
  readonly #stop = new AbortController()
  readonly #timers: NodeJS.Timeout[]
  #leaseEnds: number
  #renewedAt: number
  #shown: Progress | null = null
  #beating = false

  constructor(
    claim: Claim,
    claimedAt: number,
    uses: { tasks: TaskStore; times: LeaseTimes; clock: Clock; log: Log; stopping: AbortSignal }
  ) {
    this.claim = claim
    this.#tasks = uses.tasks
    this.#times = uses.times
    this.#clock = uses.clock
    this.#log = uses.log
    this.cleanup = new CleanupReport((what, err) =>
      uses.log.warn({ taskId: claim.task.id, what, err }, 'could not be removed at the destination')
    )
    this.#leaseEnds = claimedAt + uses.times.leaseMs
    this.#renewedAt = claimedAt
    this.signal = AbortSignal.any([this.#stop.signal, uses.stopping])
    this.#timers = [setInterval(() => void this.#beat(), Math.min(PROGRESS_MS, this.#renewEveryMs))]
    // An attempt that only cleans up has no deadline to keep, and setTimeout cannot wait for 2^31 ms (24 days).
    if (!claim.spent && claim.msLeft < 2 ** 31)
      this.#timers.push(setTimeout(() => this.#stop.abort(new DeadlinePassed()), claim.msLeft))
  }

  /** What it is doing, for those who watch and for when it fails. */
  get phase(): Phase {
    return this.#phase
  }

  enter(phase: Phase): void {
    this.#phase = phase
    this.progress = { total: null, sent: 0, percent: 0, ...this.progress, phase }
  }

  /** Renews the lease now; called where losing it next would be dearest. */
  async renew(): Promise<void> {
    const asked = this.#clock()
    const { progress } = this
    await this.#tasks.heartbeat(this.claim, progress)
    this.#renewedAt = asked
    this.#leaseEnds = asked + this.#times.leaseMs
    this.#shown = progress
  }

  get #renewEveryMs(): number {
    return this.#times.leaseMs / BEATS_A_LEASE
  }

  async #beat(): Promise<void> {
    const now = this.#clock()
    if (now > this.#leaseEnds) this.#stop.abort(new LeaseLost('the lease ended before it could be renewed'))
    const due = this.progress !== this.#shown || now - this.#renewedAt >= this.#renewEveryMs
    if (!due || this.#beating || this.signal.aborted) return
    this.#beating = true
    try {
      await this.renew()
    } catch (error) {
      if (error instanceof LeaseLost) this.#stop.abort(error)
      else this.#log.warn({ err: error, taskId: this.claim.task.id }, 'heartbeat failed')
    } finally {
      this.#beating = false
    }
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer)
  }
}
