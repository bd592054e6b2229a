import { createPostgresBackend, type JobsOptions, Queue, Worker, withBackend } from 'bullmq'
import type { Log } from '../export/ports.ts'

/** Where BullMQ keeps its jobs. `prefix` keeps several services apart on one Redis. */
export type QueueBackend =
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'redis'; readonly url: string; readonly prefix?: string }

/** All that a job says: some task is due. Everything else is read from the task's row. */
type Doorbell = { readonly taskId: string }

/** The parts of BullMQ's queue and worker that we use; the same for both backends. */
export interface BellQueue {
  addBulk(jobs: { name: string; data: Doorbell; opts: JobsOptions }[]): Promise<unknown>
  /** Jobs that workers hold. */
  getActive(): Promise<readonly { readonly id?: string | undefined }[]>
  on(event: 'error', listener: (error: Error) => void): unknown
  close(): Promise<void>
}
export interface BellWorker {
  on(event: 'error', listener: (error: Error) => void): unknown
  waitUntilReady(): Promise<unknown>
  close(): Promise<void>
}

const NAME = 'exports'
const POSTGRES_CONNECTIONS = 4

export function openQueue(backend: QueueBackend): BellQueue {
  if (backend.kind === 'redis') {
    const connection = {
      url: backend.url,
      maxRetriesPerRequest: null,
      enableOfflineQueue: false,
      commandTimeout: QUEUE_TIMEOUT_MS
    }
    return new Queue<Doorbell>(NAME, { connection, prefix: backend.prefix ?? 'glance-export' })
  }
  const { Queue: PostgresQueue } = withBackend(createPostgresBackend)
  return new PostgresQueue<Doorbell>(NAME, { connection: postgresConnection(backend.url) })
}

export function openWorker(backend: QueueBackend, concurrency: number, run: () => Promise<void>): BellWorker {
  const options = {
    concurrency,
    lockDuration: 60_000,
    // How often a task is tried is counted in its row: a job that lost its worker may always be given to another.
    maxStalledCount: 2 ** 31 - 1,
    removeOnComplete: { count: 0 },
    removeOnFail: { count: 0 }
  }
  if (backend.kind === 'redis') {
    const connection = { url: backend.url, maxRetriesPerRequest: null }
    return new Worker<Doorbell>(NAME, run, { ...options, connection, prefix: backend.prefix ?? 'glance-export' })
  }
  const { Worker: PostgresWorker } = withBackend(createPostgresBackend)
  return new PostgresWorker<Doorbell>(NAME, run, { ...options, connection: postgresConnection(backend.url) })
}

const postgresConnection = (url: string) => ({ connectionString: url, max: POSTGRES_CONNECTIONS })

const QUIET_MS = 10_000

/** Says that the queue is away, and where it should be, once in a while: a client that reconnects fails many times a second. */
export function reportOutage(backend: QueueBackend, log: Log, closing: AbortSignal): (err: Error) => void {
  const where = backend.kind === 'redis' ? 'Redis of REDIS_URL' : 'PostgreSQL'
  let quietUntil = 0
  return (err) => {
    if (closing.aborted || performance.now() < quietUntil) return
    quietUntil = performance.now() + QUIET_MS
    log.warn({ err }, `the queue cannot use the ${where}; tasks wait until it can`)
  }
}

/** For each call to the queue, which is never worth a longer wait: the rows say all that it does. */
export const QUEUE_TIMEOUT_MS = 2_000

export async function withTimeout<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer from the queue in ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
    work.catch(() => {}) // it may still fail after we stopped waiting
  }
}

/** Waits no longer for the queue than it is worth: a part of it that cannot be closed goes with the process. */
export const closed = (closing: Promise<unknown>, log: Log): Promise<unknown> =>
  withTimeout(closing, QUEUE_TIMEOUT_MS).catch((err) => log.warn({ err }, 'the queue was left as it was'))
