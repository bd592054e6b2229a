import { createHash, randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
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
import { Bandwidth } from '../../../src/export/attempt/bandwidth.ts'
import { isCanceled } from '../../../src/export/attempt/canceled.ts'
import { runNextExport } from '../../../src/export/attempt/run-export.ts'
import {
  type BegunPart,
  CancelRequested,
  type Claim,
  type Release,
  type TaskNote,
  type TaskStore
} from '../../../src/export/ports.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import type { ImageSource } from '../../../src/images/image-source.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { createCompressors } from '../../../src/pipeline/compressors.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import { fileSystems } from '../../../src/scrub/filesystems/registry.ts'
import type { GuestEditor } from '../../../src/scrub/guest-editor.ts'
import type { DenyRule, PolicyFacts } from '../../../src/scrub/policy.ts'
import type { ScrubRules } from '../../../src/scrub/profiles.ts'
import { Scratch } from '../../../src/scrub/scratch.ts'
import { FACTS, scrubPolicy } from '../../support/scrub-policy.ts'
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
  released: Release[]
  uploadState: Claim['uploadState']
  uploadIdentity: string | null
  progress: Task['progress']
  /** Of the upload, by number. */
  parts: Map<number, BegunPart>
  suffix: number
  /** By other tasks. */
  heldNames: Set<string>
  result?: ExportResult
  failure?: Failure
  message: string
  cancel?: Cancel
} & { -readonly [K in keyof Omit<TaskNote, 'uploadState' | 'uploadIdentity'>]: TaskNote[K] }

/** One task in memory and a worker for it. The store's methods may be replaced to die at a moment of the test's choice. */
export function oneTask(
  destination: Destination,
  engine: ReturnType<typeof testEngine>,
  request: { exportFormat?: string; formatOptions?: Task['request']['formatOptions'] } & {
    options?: Partial<ExportOptions>
    scrub?: {
      rules?: Partial<ScrubRules>
      deny?: readonly DenyRule[]
      editors?: readonly GuestEditor[]
      scratch?: Scratch
    }
    facts?: Partial<PolicyFacts>
  } = {}
) {
  const exportId = randomUUID()
  const { options, scrub = {}, facts, ...wanted } = request
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
    scrubReport: null,
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
  const row: Row = {
    status: 'queued',
    attempts: 0,
    released: [],
    uploadState: null,
    uploadIdentity: null,
    progress: null,
    parts: new Map(),
    suffix: 0,
    heldNames: new Set(),
    message: ''
  }
  const url = `memory://place/folder/${options?.object?.key_template ?? exportId}`
  const never = () => Promise.reject(new Error('not used by a worker'))

  const refuseCanceled = () => {
    if (row.cancel) throw new CancelRequested(row.cancel)
  }

  const tasks: TaskStore = {
    exportableImage: async () => ({ status: 'active', name: 'web', source: SOURCE, facts: { ...FACTS, ...facts } }),
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
        task: { ...task, attempts: row.attempts, progress: row.progress },
        epoch: row.attempts,
        spent: null,
        maxAttempts: 3,
        msLeft: 60_000,
        source: SOURCE,
        sealed: null,
        uploadState: row.uploadState,
        uploadIdentity: row.uploadIdentity,
        objectUrl: url,
        suffix: row.suffix,
        sent: row.sent ?? null,
        cancel: row.cancel ?? null
      }
    },
    async heartbeat(_claim, news) {
      row.progress = news ?? row.progress
      return { cancel: row.cancel ?? null, bandwidthBps: undefined }
    },
    async note(_claim, note) {
      if (note.sent) refuseCanceled()
      Object.assign(row, note)
    },
    async takeName(_claim, { suffix, name, warnings }) {
      if (row.heldNames.has(name)) return false
      Object.assign(row, { suffix, warnings })
      return true
    },
    async startTransfer(_claim, progress, uploadState, uploadIdentity = null) {
      refuseCanceled()
      if (!isDeepStrictEqual(uploadState, row.uploadState)) row.parts.clear()
      Object.assign(row, { status: 'transferring', progress, uploadState, uploadIdentity })
    },
    async noteParts(_claim, parts) {
      for (const part of parts) row.parts.set(part.number, part)
    },
    async begunParts() {
      return [...row.parts.values()].sort((a, b) => a.number - b.number)
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

  const runOnce = (stopping = new AbortController().signal) =>
    runNextExport({
      tasks,
      images,
      readers: diskReaders(),
      limits: { maxVirtualSize: GiB },
      formats: createFormats(),
      engine,
      scrubPolicy: scrubPolicy(scrub.rules, scrub.deny && { deny: scrub.deny }),
      scrubbing: {
        editors: scrub.editors ?? [],
        fileSystems: fileSystems(),
        overlay: createOverlay,
        scratch: scrub.scratch ?? new Scratch({ root: '/nowhere', host: 'h', pid: 1, reserveBytes: 0 })
      },
      retryRules: impatientRules(),
      bandwidth: new Bandwidth(undefined),
      destinations: onlyDestination(destination),
      opener: { open: () => ({ credentials: new Secret({ kind: 'none' }) }) },
      times: { leaseMs: 30_000, handOverMs: 100 },
      clock: () => performance.now(),
      log: silent,
      workerId: 'w'
    })(stopping)

  return { task, row, tasks, url, runOnce }
}
