import { Worker } from 'node:worker_threads'
import type { CompressJob, CompressResult } from './compress-worker.ts'

type Batch = Omit<CompressJob, 'id'>
type Packed = Omit<CompressResult, 'id'>

/** Threads that compress, shared by all exports of a process. */
export interface Compressors {
  /** How many batches are worked on at once. */
  readonly threads: number
  compress(batch: Batch): Promise<Packed>
  close(): Promise<void>
}

type Thread = { readonly worker: Worker; busy: boolean }
type Waiting = { readonly job: CompressJob; resolve(packed: Packed): void; reject(error: unknown): void }

/**
 * Starts threads when they are first needed, at most `threads` of them. Batches are begun in the order they came; a thread
 * that dies takes only its own batch with it.
 */
export function createCompressors(threads: number): Compressors {
  const pool: Thread[] = []
  const queue: Waiting[] = []
  let nextId = 0
  let closed = false

  const startThread = (): Thread => {
    const worker = new Worker(new URL('./compress-worker.ts', import.meta.url), {
      // Its garbage is a packed unit or two, and a young heap grows to whatever it may.
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 }
    })
    worker.setMaxListeners(0)
    const thread = { worker, busy: false }
    pool.push(thread)
    return thread
  }

  const begin = () => {
    while (queue.length > 0) {
      const thread = pool.find(({ busy }) => !busy) ?? (pool.length < threads ? startThread() : undefined)
      if (!thread) return
      const waiting = queue.shift()
      if (waiting) run(thread, waiting)
    }
  }

  const run = (thread: Thread, { job, resolve, reject }: Waiting) => {
    thread.busy = true
    const { worker } = thread
    const end = () => {
      worker.off('message', done).off('error', failed).off('exit', died)
      thread.busy = false
    }
    const done = ({ input, output, lengths }: CompressResult) => {
      end()
      resolve({ input, output, lengths })
      begin()
    }
    const failed = (error: unknown) => {
      end()
      pool.splice(pool.indexOf(thread), 1)
      reject(error)
      begin()
    }
    const died = () => failed(new Error('a compressing thread ended'))
    worker.on('message', done).on('error', failed).on('exit', died)
    worker.postMessage(job, [job.input, job.output])
  }

  return {
    threads,
    compress: (batch) =>
      new Promise((resolve, reject) => {
        if (closed) throw new Error('the compressing threads have ended')
        queue.push({ job: { ...batch, id: nextId++ }, resolve, reject })
        begin()
      }),
    async close() {
      closed = true
      for (const { reject } of queue.splice(0)) reject(new Error('the compressing threads have ended'))
      await Promise.all(pool.splice(0).map(({ worker }) => worker.terminate()))
    }
  }
}
