import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskId } from '../../domain/ids.ts'
import type { Log, TaskStore } from '../ports.ts'

type Waiter = { readonly id: TaskId; readonly version: number; readonly wake: (news: 'some' | 'none') => void }

export type WatchSettings = {
  /** Who comes when so many wait is not let wait. */
  readonly maxWaiters: number
  readonly lookMs?: number
}

/**
 * Tells those who wait for a task when it is written. One small query at a time looks for all of them together, and none when
 * nobody waits: waiting takes no connection, and works behind a pooler.
 */
export class TaskWatch {
  readonly #tasks: Pick<TaskStore, 'versions'>
  readonly #log: Log
  readonly #maxWaiters: number
  readonly #lookMs: number
  readonly #waiters = new Set<Waiter>()
  #looking = false
  #closed = false

  constructor(uses: { readonly tasks: Pick<TaskStore, 'versions'>; readonly log: Log }, settings: WatchSettings) {
    this.#tasks = uses.tasks
    this.#log = uses.log
    this.#maxWaiters = settings.maxWaiters
    this.#lookMs = settings.lookMs ?? 500
  }

  /** Whether one more may wait. */
  get hasRoom(): boolean {
    return !this.#closed && this.#waiters.size < this.#maxWaiters
  }

  /**
   * Waits until the task is not this version any more.
   * @returns `none` when `ms` are over before, `signal` fires, this is closed, or too many wait already
   */
  async changed(id: TaskId, version: number, ms: number, signal: AbortSignal): Promise<'some' | 'none'> {
    if (!this.hasRoom || signal.aborted || ms <= 0) return 'none'
    const { promise, resolve: wake } = Promise.withResolvers<'some' | 'none'>()
    const waiter = { id, version, wake }
    const none = () => wake('none')
    const timer = setTimeout(none, ms)
    signal.addEventListener('abort', none, { once: true })
    this.#waiters.add(waiter)
    void this.#look()
    try {
      return await promise
    } finally {
      this.#waiters.delete(waiter)
      clearTimeout(timer)
      signal.removeEventListener('abort', none)
    }
  }

  /** Wakes everybody, for good. */
  close(): void {
    this.#closed = true
    for (const { wake } of this.#waiters) wake('none')
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      for (; this.#waiters.size > 0; await sleep(this.#lookMs, undefined, { ref: false })) await this.#wakeChanged()
    } finally {
      this.#looking = false
    }
  }

  /** A task that has gone is changed too. */
  async #wakeChanged(): Promise<void> {
    try {
      const versions = await this.#tasks.versions([...new Set([...this.#waiters].map(({ id }) => id))])
      for (const { id, version, wake } of this.#waiters) if (versions.get(id) !== version) wake('some')
    } catch (err) {
      this.#log.warn({ err }, 'tasks that are waited for could not be looked at')
    }
  }
}
