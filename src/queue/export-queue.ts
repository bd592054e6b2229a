import type { ExportQueue, Log } from '../export/ports.ts'
import { openQueue, type QueueBackend, reportOutage } from './backend.ts'

const RING_TIMEOUT_MS = 2_000

/** The doorbell on BullMQ. A ring that cannot be delivered in two seconds is left to the sweep. */
export function createExportQueue(backend: QueueBackend, log: Log): ExportQueue & { close(): Promise<void> } {
  const queue = openQueue(backend)
  const closing = new AbortController()
  queue.on('error', reportOutage(backend, log, closing.signal))
  return {
    async ring({ taskId, epoch }) {
      // The epoch is in the id because BullMQ ignores an id that it still has, such as that of a job whose worker is dead.
      const options = { jobId: `${taskId}.${epoch}`, removeOnComplete: true, removeOnFail: true }
      try {
        await withTimeout(queue.add('export', { taskId }, options), RING_TIMEOUT_MS)
      } catch (err) {
        log.warn({ err, taskId }, 'task could not be put on the queue; the sweep will do it')
      }
    },
    async close() {
      closing.abort()
      await queue.close()
    }
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
