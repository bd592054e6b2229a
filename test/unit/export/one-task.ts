import { createHash, randomUUID } from 'node:crypto'
import { afterAll } from 'vitest'
import type { Destination } from '../../../src/destinations/destination.ts'
import type { Destinations } from '../../../src/destinations/registry.ts'
import type { RandomAccess } from '../../../src/disks/disk.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { type ExportOptions, NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { type Cancel, type ExportResult, type Failure, NO_LABELS, type Task } from '../../../src/domain/task.ts'
import { Bandwidth } from '../../../src/export/bandwidth.ts'
import { isCanceled } from '../../../src/export/canceled.ts'
import { CancelRequested, type Claim, type TaskNote, type TaskStore } from '../../../src/export/ports.ts'
import { runNextExport } from '../../../src/export/run-export.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import type { ImageSource } from '../../../src/images/image-source.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { createCompressors } from '../../../src/pipeline/compressors.ts'
import { impatientRules } from '../../support/sending.ts'

/** A raw image of 3 MiB, a third of it data. */
export const IMAGE = Buffer.concat([
  Buffer.alloc(MiB / 2, 'some text that repeats; '),
  Buffer.alloc(2 * MiB),
  Buffer.alloc(MiB / 2, 'and more of it; ')
])
export const SOURCE = {
  diskFormat: 'raw',
  size: IMAGE.length,
  sha512: createHash('sha512').update(IMAGE).digest('hex')
}

export const imageFile = (bytes = IMAGE): RandomAccess => ({
  size: bytes.length,
  read: async (target, offset) => {
    target.set(bytes.subarray(offset, offset + target.length))
  },
  [Symbol.asyncDispose]: async () => {}
})
export const images: ImageSource = { open: async () => imageFile() }

/** Threads that a test file shares; ended with it. */
export function testEngine() {
  const engine = { hashers: createHashers(1), compressors: createCompressors(1), buffers: new Buffers() }
  afterAll(async () => {
    await Promise.all([engine.hashers.close(), engine.compressors.close()])
  })
  return engine
}

export const silent = { info() {}, warn() {}, error() {} }

/** A registry that knows one destination. */
export const onlyDestination = (destination: Destination): Destinations => ({
  all: [destination],
  schemes: destination.schemes,
  credentialSchemas: [],
  forScheme: () => destination,
  forTarget: () => destination,
  close() {}
})

type Row = {
  status: Task['status']
  attempts: number
  released: { readonly delayMs: number; readonly message: string }[]
  uploadState: Claim['uploadState']
  result?: ExportResult
  failure?: Failure
  message: string
  cancel?: Cancel
} & { -readonly [K in keyof TaskNote]: TaskNote[K] }

/** One task in memory and a worker for it. The store's methods may be replaced to die at a moment of the test's choice. */
export function oneTask(
  destination: Destination,
  engine: ReturnType<typeof testEngine>,
  request: { exportFormat?: string; formatOptions?: Task['request']['formatOptions'] } & {
    options?: Partial<ExportOptions>
  } = {}
) {
  const exportId = randomUUID()
  const { options, ...wanted } = request
  const task: Task = {
    id: taskId(randomUUID()),
    owner: ownerId('demo'),
    userId: 'u',
    requestId: 'req-1',
    request: {
      imageId: imageId(randomUUID()),
      exportTo: 'memory://place/folder',
      exportFormat: 'raw',
      formatOptions: {},
      ...wanted,
      options: { ...NO_OPTIONS, ...options }
    },
    labels: NO_LABELS,
    exportId,
    status: 'queued',
    message: '',
    progress: null,
    failure: null,
    result: null,
    warnings: [],
    cleanup: null,
    credentials: null,
    attempts: 0,
    version: 1,
    cancel: null,
    retryOf: null,
    ahead: null,
    createdAt: new Date(),
    updatedAt: new Date(),
    startedAt: null,
    finishedAt: null,
    expiresAt: null
  }
  const row: Row = { status: 'queued', attempts: 0, released: [], uploadState: null, message: '' }
  const url = `memory://place/folder/${options?.object?.key_template ?? exportId}`
  const never = () => Promise.reject(new Error('not used by a worker'))

  const refuseCanceled = () => {
    if (row.cancel) throw new CancelRequested(row.cancel)
  }

  const tasks: TaskStore = {
    exportableImage: never,
    create: never,
    get: never,
    list: never,
    summaries: never,
    sweep: never,
    cancel: never,
    change: never,
    remove: never,
    versions: never,
    createdBefore: never,
    usage: never,
    forget: never,
    pace: async () => undefined,
    async claimDue() {
      if (row.status === 'success' || row.status === 'failure') return undefined
      row.attempts++
      row.status = 'processing'
      return {
        task: { ...task, attempts: row.attempts },
        epoch: row.attempts,
        spent: null,
        maxAttempts: 3,
        msLeft: 60_000,
        source: SOURCE,
        sealed: null,
        uploadState: row.uploadState,
        objectUrl: url,
        suffix: row.suffix ?? 0,
        sent: row.sent ?? null,
        cancel: row.cancel ?? null
      }
    },
    async heartbeat() {
      return { cancel: row.cancel ?? null, bandwidthBps: undefined }
    },
    async note(_claim, note) {
      if (note.sent) refuseCanceled()
      Object.assign(row, note)
    },
    async startTransfer(_claim, _progress, uploadState) {
      refuseCanceled()
      row.status = 'transferring'
      row.uploadState = uploadState
    },
    async settleSuccess(_claim, result) {
      refuseCanceled()
      Object.assign(row, { status: 'success', result })
    },
    async settleFailure(_claim, message, failure) {
      if (!isCanceled(failure)) refuseCanceled()
      Object.assign(row, { status: 'failure', message, failure })
    },
    async release(_claim, released) {
      row.status = 'queued'
      row.released.push(released)
    }
  }

  const runOnce = () =>
    runNextExport({
      tasks,
      images,
      readers: diskReaders(),
      limits: { maxVirtualSize: GiB },
      formats: createFormats(),
      engine,
      retryRules: impatientRules(),
      bandwidth: new Bandwidth(undefined),
      destinations: onlyDestination(destination),
      opener: { open: () => new Secret({ kind: 'none' }) },
      times: { leaseMs: 30_000 },
      clock: () => performance.now(),
      log: silent,
      workerId: 'w'
    })(new AbortController().signal)

  return { task, row, tasks, url, runOnce }
}
