import { setTimeout as sleep } from 'node:timers/promises'
import type { Bell, BellsOfSweep, ExportQueue, Log } from '../export/ports.ts'
import {
  type BellQueue,
  closed,
  openQueue,
  QUEUE_TIMEOUT_MS,
  type QueueBackend,
  reportOutage,
  withTimeout
} from './backend.ts'

const GATHERING_MS = 20

/**
 * The doorbell on BullMQ. What is rung while one call of the queue is under way goes with the next, all at once. A ring that
 * cannot be delivered in two seconds is left to the sweep.
 */
export function createExportQueue(
  backend: QueueBackend,
  log: Log
): ExportQueue & BellsOfSweep & { close(): Promise<void> } {
  const queue = openQueue(backend)
  const closing = new AbortController()
  queue.on('error', reportOutage(backend, log, closing.signal))
  const rings = inTurn((bells: readonly Bell[]) => ringAll(queue, bells, log))
  return {
    ring: (bell) => rings.add(bell),
    async ringAgain(bells) {
      if (bells.length > 0) await ringAll(queue, bells, log, await heldJobs(queue))
    },
    async close() {
      await rings.settled()
      closing.abort()
      await closed(queue.close(), log)
    }
  }
}

/** @param held ids of jobs that workers hold */
async function ringAll(
  queue: BellQueue,
  bells: readonly Bell[],
  log: Log,
  held: ReadonlySet<string> = new Set()
): Promise<void> {
  const jobs = bells.map((bell) => ({
    name: 'export',
    data: { taskId: bell.taskId },
    opts: { jobId: freeId(bell, held), removeOnComplete: true, removeOnFail: true }
  }))
  try {
    await withTimeout(queue.addBulk(jobs), QUEUE_TIMEOUT_MS)
  } catch (err) {
    const taskIds = bells.map(({ taskId }) => taskId)
    log.warn({ err, taskIds }, 'tasks could not be put on the queue; the sweep will do it')
  }
}

/**
 * BullMQ ignores an id that it still has: so a ring that waits is not added twice. But the job of a ring may be held for hours by
 * a worker that was given another task for it, or is dead; then it gets a further name, and never more than there are workers.
 */
function freeId({ taskId, epoch }: Bell, held: ReadonlySet<string>): string {
  const first = `${taskId}.${epoch}`
  let id = first
  for (let n = 1; held.has(id); n++) id = `${first}.${n}`
  return id
}

async function heldJobs(queue: BellQueue): Promise<ReadonlySet<string>> {
  const jobs = await withTimeout(queue.getActive(), QUEUE_TIMEOUT_MS).catch(() => []) // adding will tell what is wrong
  return new Set(jobs.map(({ id }) => String(id)))
}

/**
 * Calls `work` one at a time, each time with all that was added since; the first at once, and those that follow a little later,
 * as a call for twenty costs hardly more than one for a single ring: on PostgreSQL each makes two temporary tables.
 */
function inTurn<T>(work: (all: readonly T[]) => Promise<void>) {
  let next: { readonly all: T[]; readonly done: Promise<void> } | undefined
  let last: Promise<void> = Promise.resolve()
  return {
    /** @returns when the work with this one is over */
    add(one: T): Promise<void> {
      if (!next) {
        const all: T[] = []
        const done = last.then(() => {
          next = undefined
          return work(all)
        })
        next = { all, done }
        last = done.then(() => sleep(GATHERING_MS))
      }
      next.all.push(one)
      return next.done
    },
    settled: () => last
  }
}
