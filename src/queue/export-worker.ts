import { WorkerStopping } from '../export/attempt/attempt.ts'
import type { Log } from '../export/ports.ts'
import { openWorker, type QueueBackend, reportOutage } from './backend.ts'

const TIDY_MS = 60 * 60 * 1000

export type WorkerUses = {
  readonly backend: QueueBackend
  /** Exports at once. */
  readonly concurrency: number
  readonly sweepMs: number
  readonly runNext: (stopping: AbortSignal) => Promise<'idle' | 'ran'>
  readonly sweep: () => Promise<void>
  /** Removes what is left over and in nobody's way; once an hour is enough. */
  readonly tidy: () => Promise<void>
  readonly log: Log
}

/** Answers the doorbell and sweeps, until it is closed: then running exports go back to the queue, uncounted. */
export async function startExportWorker(uses: WorkerUses): Promise<{ close(): Promise<void> }> {
  const stopping = new AbortController()
  const worker = openWorker(uses.backend, uses.concurrency, async () => {
    // Who has ended an export looks at once for the next: one that was held back by it has no ring any more.
    while (!stopping.signal.aborted && (await uses.runNext(stopping.signal)) === 'ran');
  })
  worker.on('error', reportOutage(uses.backend, uses.log, stopping.signal))
  await worker.waitUntilReady()
  const sweeper = repeat(uses.sweep, uses.sweepMs, (err) => uses.log.error({ err }, 'sweep failed'))
  const tidier = repeat(uses.tidy, TIDY_MS, (err) => uses.log.error({ err }, 'tidying up failed'))
  return {
    async close() {
      stopping.abort(new WorkerStopping())
      // Side by side: a worker that still took jobs would answer them with nothing.
      await Promise.all([worker.close(), sweeper.stop(), tidier.stop()])
      // What was handed back is due, and nobody has rung for it.
      await uses.sweep().catch((err) => uses.log.warn({ err }, 'what was handed back waits for a sweep of others'))
    }
  }
}

/** Runs `work` now and again `everyMs` after it ended, until stopped; `stop` waits for the run under way. */
function repeat(work: () => Promise<void>, everyMs: number, onError: (error: unknown) => void) {
  let stopped = false
  let wake = () => {}
  const loop = async () => {
    while (!stopped) {
      await work().catch(onError)
      if (stopped) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, everyMs)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
  const running = loop()
  return {
    async stop() {
      stopped = true
      wake()
      await running
    }
  }
}
