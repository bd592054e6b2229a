import type { Bell, ExportQueue, Log } from '../export/ports.ts'
import { type BellQueue, openQueue, type QueueBackend, reportOutage } from './backend.ts'

const RING_TIMEOUT_MS = 2_000

/**
 * The doorbell on BullMQ. What is rung while one call of the queue is under way goes with the next, all at once. A ring that
 * cannot be delivered in two seconds is left to the sweep.
 */
export function createExportQueue(backend: QueueBackend, log: Log): ExportQueue & { close(): Promise<void> } {
  const queue = openQueue(backend)
  const closing = new AbortController()
  queue.on('error', reportOutage(backend, log, closing.signal))
  const rings = inTurn((bells: readonly Bell[]) => ringAll(queue, bells, log))
  return {
    ring: (bell) => rings.add(bell),
    async close() {
      await rings.settled()
      closing.abort()
      await queue.close()
    }
  }
}

async function ringAll(queue: BellQueue, bells: readonly Bell[], log: Log): Promise<void> {
  const jobs = bells.map(({ taskId, epoch }) => ({
    name: 'export',
    data: { taskId },
    // The epoch is in the id because BullMQ ignores an id that it still has, such as that of a job whose worker is dead.
    opts: { jobId: `${taskId}.${epoch}`, removeOnComplete: true, removeOnFail: true }
  }))
  try {
    await withTimeout(queue.addBulk(jobs), RING_TIMEOUT_MS)
  } catch (err) {
    const taskIds = bells.map(({ taskId }) => taskId)
    log.warn({ err, taskIds }, 'tasks could not be put on the queue; the sweep will do it')
  }
}

/** Calls `work` one at a time, each time with all that was added since. */
function inTurn<T>(work: (all: readonly T[]) => Promise<void>) {
  let next: { readonly all: T[]; readonly done: Promise<void> } | undefined
  let last: Promise<void> = Promise.resolve()
  return {
    /** @returns when the work with this one is over */
    add(one: T): Promise<void> {
      if (!next) {
        const all: T[] = []
        last = last.then(() => {
          next = undefined
          return work(all)
        })
        next = { all, done: last }
      }
      next.all.push(one)
      return next.done
    },
    settled: () => last
  }
}

async function withTimeout(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer from the queue in ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
    work.catch(() => {}) // it may still fail after we stopped waiting
  }
}
