import { WorkerStopping } from '../export/attempt/attempt.ts'
import type { Log } from '../export/ports.ts'
import { closed, openWorker, type QueueBackend, reportOutage } from './backend.ts'

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
  const running = new Set<Promise<void>>()
  const worker = openWorker(uses.backend, uses.concurrency, async () => {
    const run = answer(uses, stopping.signal)
    running.add(run)
    await run.finally(() => running.delete(run))
  })
  worker.on('error', reportOutage(uses.backend, uses.log, stopping.signal))
  await worker.waitUntilReady()
  const sweeper = repeat(uses.sweep, uses.sweepMs, (err) => uses.log.error({ err }, 'sweep failed'))
  const tidier = repeat(uses.tidy, TIDY_MS, (err) => uses.log.error({ err }, 'tidying up failed'))
  return {
    async close() {
      stopping.abort(new WorkerStopping())
      // At once: a worker that still took jobs would answer them with nothing. It waits for the queue, which may not answer.
      const closing = worker.close()
      closing.catch(() => {})
      await Promise.all([...running, sweeper.stop(), tidier.stop()])
      await closed(closing, uses.log)
      // What was handed back is due, and nobody has rung for it.
      await uses.sweep().catch((err) => uses.log.warn({ err }, 'what was handed back waits for a sweep of others'))
    }
  }
}

/** Who has ended an export looks at once for the next: one that was held back by it has no ring any more. */
async function answer({ runNext, log }: WorkerUses, stopping: AbortSignal): Promise<void> {
  try {
    while (!stopping.aborted && (await runNext(stopping)) === 'ran');
  } catch (err) {
    log.error({ err }, 'no task could be taken: the sweep rings again') // the queue would keep it to itself
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
