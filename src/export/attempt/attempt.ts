import { isDeepStrictEqual } from 'node:util'
import type { Removed } from '../../destinations/destination.ts'
import { NO_PROGRESS, type Phase, type Progress, type Warning } from '../../domain/task.ts'
import { CancelRequested, type Claim, type Clock, LeaseLost, type Log, type Orders, type TaskStore } from '../ports.ts'
import type { Bandwidth } from './bandwidth.ts'
import { CleanupReport } from './cleanup.ts'
import { ProgressMeter } from './progress-meter.ts'

/** Milliseconds. `handOverMs`: how long a worker that was asked to stop lets an attempt send what it has begun to send. */
export type AttemptTimes = { readonly leaseMs: number; readonly handOverMs: number }

/**
 * What was sent and cannot be seen yet; `what` says so in plain words. With `resumable` it is left to the next attempt, unless
 * there will be none. With `unrecorded` nobody else can know of it. What is perhaps not there is not worth more than `limitMs`.
 */
export type PartialUpload = {
  readonly what: string
  readonly resumable: boolean
  readonly unrecorded?: boolean
  readonly limitMs?: number
  remove(signal: AbortSignal): Promise<Removed>
}

/** A lease is renewed this often in its life, so that one slow answer of the database does not cost the attempt. */
const BEATS_A_LEASE = 3
/** Those who watch see progress, and an attempt hears of a cancel or another bandwidth, within so long. */
const BEAT_MS = 1_000

/** Why an attempt was told to stop, as the reason of its signal. CancelRequested and LeaseLost are others. */
export class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed'
}
export class WorkerStopping extends Error {
  override readonly name = 'WorkerStopping'
}

/** In these there is something that another worker could not do better. */
const HANDED_OVER: readonly Phase[] = ['transferring', 'committing', 'verifying']

/**
 * One run of a task while its lease lasts. `signal` is the attempt's only stop switch: a lost lease, a cancel, the deadline and
 * the worker's shutdown all fire it. The lease is held until disposal, also while it is cleaned up after the others.
 *
 * Of the shutdown `draining` tells first: what is on its way to the destination may get there. `signal` follows when that took
 * too long, or at once in the phases before.
 */
export class Attempt implements Disposable {
  readonly claim: Claim
  readonly signal: AbortSignal
  readonly draining: AbortSignal
  readonly meter: ProgressMeter
  /** What the user should know when it is over. */
  readonly warnings: Warning[] = []
  readonly cleanup: CleanupReport
  /** Removes what this attempt has made visible; there once it has. */
  takeBack: (() => Promise<Removed>) | undefined
  /** Of this attempt, or of an earlier one as long as this one has done nothing about it. */
  partial: PartialUpload | undefined
  readonly #tasks: TaskStore
  readonly #times: AttemptTimes
  readonly #clock: Clock
  readonly #log: Log
  readonly #stop = new AbortController()
  readonly #timers: NodeJS.Timeout[]
  #leaseEnds: number
  #shown: Progress | undefined
  #beating = false

  constructor(
    claim: Claim,
    claimedAt: number,
    uses: {
      tasks: TaskStore
      times: AttemptTimes
      clock: Clock
      log: Log
      /** Of all exports of this worker together. */
      bandwidth: Bandwidth
      stopping: AbortSignal
    }
  ) {
    this.claim = claim
    this.#tasks = uses.tasks
    this.#times = uses.times
    this.#clock = uses.clock
    this.#log = uses.log
    const { task } = claim
    const { bandwidth_bps } = task.request.options.limits
    this.meter = new ProgressMeter(uses.clock, task.progress ?? NO_PROGRESS, bandwidth_bps, uses.bandwidth)
    this.cleanup = new CleanupReport((what, err) =>
      uses.log.warn({ taskId: task.id, what, err }, 'could not be removed at the destination')
    )
    this.#leaseEnds = claimedAt + uses.times.leaseMs
    this.signal = this.#stop.signal
    this.draining = uses.stopping
    this.draining.addEventListener('abort', this.#drain)
    this.#timers = [setInterval(() => void this.#beat(), Math.min(BEAT_MS, this.#times.leaseMs / BEATS_A_LEASE))]
    // An attempt that only cleans up has no deadline to keep, and setTimeout cannot wait for 2^31 ms (24 days).
    if (!claim.spent && !claim.cancel && claim.msLeft < 2 ** 31)
      this.#timers.push(setTimeout(() => this.#stop.abort(new DeadlinePassed()), claim.msLeft))
    if (this.draining.aborted) this.#drain()
  }

  /** What it is doing, for those who watch and for when it fails. */
  get phase(): Phase {
    return this.meter.phase
  }

  enter(phase: Phase): void {
    this.meter.enter(phase)
  }

  /** Renews the lease now; called where losing it next would be dearest. */
  async renew(): Promise<void> {
    const asked = this.#clock()
    const orders = await this.#tasks.heartbeat(this.claim, this.#news())
    this.#leaseEnds = asked + this.#times.leaseMs
    this.#follow(orders)
  }

  /** Null where nothing but the time has changed. */
  #news(): Progress | null {
    const now = this.meter.look()
    if (this.#shown && isDeepStrictEqual({ ...now, at: this.#shown.at }, this.#shown)) return null
    this.#shown = now
    return now
  }

  #follow({ cancel, bandwidthBps }: Orders): void {
    this.meter.bandwidth.allow(bandwidthBps)
    if (cancel && !this.claim.cancel) this.#stop.abort(new CancelRequested(cancel))
  }

  async #beat(): Promise<void> {
    if (this.#clock() > this.#leaseEnds) this.#stop.abort(new LeaseLost('the lease ended before it could be renewed'))
    if (this.#beating || this.signal.reason instanceof LeaseLost) return
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

  readonly #drain = (): void => {
    const stop = () => this.#stop.abort(this.draining.reason)
    if (HANDED_OVER.includes(this.phase)) this.#timers.push(setTimeout(stop, this.#times.handOverMs))
    else stop()
  };

  [Symbol.dispose](): void {
    this.draining.removeEventListener('abort', this.#drain)
    for (const timer of this.#timers) clearTimeout(timer)
  }
}
