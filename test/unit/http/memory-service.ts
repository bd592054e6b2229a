import { createHash, randomUUID } from 'node:crypto'
import { afterAll } from 'vitest'
import { capabilitiesOf } from '../../../src/compose/capabilities.ts'
import { readConfig } from '../../../src/config.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { MarkerNotFound, TaskNotFound } from '../../../src/domain/errors.ts'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { type ImageId, imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import type { Image } from '../../../src/domain/image.ts'
import {
  ImageExists,
  ImageInUse,
  ImageNotActive,
  ImageNotFound,
  ImageProtected,
  UploadConflict
} from '../../../src/domain/image-errors.ts'
import { IdempotencyKeyReused } from '../../../src/domain/request-errors.ts'
import { isTerminal, NO_LABELS, type Task } from '../../../src/domain/task.ts'
import { TempUrlAbsent } from '../../../src/domain/temp-url-errors.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import type { OnceAsked } from '../../../src/export/once.ts'
import type { PreflightReport } from '../../../src/export/requests/preflight-export.ts'
import { type ExportBody, resolveRequest } from '../../../src/export/requests/resolve-request.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { devIdentity } from '../../../src/http/access/identity.ts'
import { type AppParts, buildApp } from '../../../src/http/app.ts'
import type { TaskUses } from '../../../src/http/uses.ts'
import type { Library } from '../../../src/library/library.ts'
import type { ImageFields } from '../../../src/library/ports.ts'
import type { TempUrls } from '../../../src/temp-urls/temp-urls.ts'
import { scrubPolicy } from '../../support/scrub-policy.ts'
import { memoryLife } from './memory-life.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

/** The use cases without a database: rows in maps, bytes in memory, tasks that move only when a test moves them. */
export class MemoryService {
  readonly tasks = new Map<string, Task>()
  readonly images = new Map<string, Image>()
  readonly data = new Map<string, Buffer>()
  /** What the last `createExport` was given. */
  asked: unknown
  once: OnceAsked | undefined
  readonly #keys = new Map<string, { readonly body: string; readonly task: string }>()
  #clock = Date.parse('2026-11-22T06:50:39.123Z')

  now(): Date {
    this.#clock += 1000
    return new Date(this.#clock)
  }

  addImage(change: Partial<Image> = {}): Image {
    const now = this.now()
    const image: Image = { ...BLANK_IMAGE, id: imageId(randomUUID()), createdAt: now, updatedAt: now, ...change }
    this.images.set(image.id, image)
    return image
  }

  addTask(change: Partial<Task> = {}): Task {
    const now = this.now()
    const task: Task = {
      ...BLANK_TASK,
      id: taskId(randomUUID()),
      exportId: randomUUID(),
      createdAt: now,
      updatedAt: now,
      ...change
    }
    this.tasks.set(task.id, task)
    return task
  }

  changeTask(id: string, change: Partial<Task>): void {
    const task = this.tasks.get(id)
    if (!task) throw new Error(`no task ${id}`)
    this.tasks.set(id, { ...task, version: task.version + 1, updatedAt: this.now(), ...change })
  }

  readonly #records: Pick<TaskUses, 'createExport' | 'preflightExport' | 'getTask' | 'listTasks' | 'wholeTasks'> = {
    createExport: async (viewer, requestId, body, once) => {
      this.asked = body
      this.once = once
      const earlier = this.#created(viewer, once)
      if (earlier) return { task: earlier, replayed: true }
      const { request, destination, credentials, objectUrl } = await this.#resolve(viewer, body)
      destination.check(objectUrl, credentials)
      const image = this.#visibleImage(viewer, body.imageId)
      if (image.status !== 'active') throw new ImageNotActive(image.id, image.status)
      const task = this.addTask({
        owner: viewer.owner,
        userId: viewer.userId,
        requestId,
        request,
        labels: body.labels,
        retryOf: body.retryOf ?? null,
        credentials: credentials ? { kind: credentials.kind, fingerprint: '0123456789ab', state: 'sealed' } : null
      })
      if (once) this.#keys.set(keyOf(viewer, once), { body: JSON.stringify(once.body), task: task.id })
      return { task, replayed: false }
    },
    preflightExport: async (viewer, body) => {
      this.asked = body
      await this.#resolve(viewer, body)
      return PREFLIGHT
    },
    getTask: async (viewer, id) => {
      const task = this.tasks.get(id)
      if (!task || !mayRead(viewer, task)) throw new TaskNotFound(id)
      return task
    },
    listTasks: (viewer, query) => this.#records.wholeTasks(viewer, query),
    wholeTasks: async (viewer, { marker, order, statuses, imageId, limit }) => {
      const rows = [...this.tasks.values()]
        .filter((task) => mayRead(viewer, task))
        .filter((task) => !statuses || statuses.includes(task.status))
        .filter((task) => !imageId || task.request.imageId === imageId)
      return pageOf(order[0]?.direction === 'desc' ? rows.reverse() : rows, marker, limit)
    }
  }

  readonly taskUses: TaskUses = { ...this.#records, ...memoryLife(this, this.#records) }

  readonly library: Library = {
    createImage: async (viewer, { id, ...fields }) => {
      if (id && this.images.has(id)) throw new ImageExists(id)
      return this.addImage({ ...fields, ...(id && { id }), owner: viewer.owner })
    },
    getImage: async (viewer, id) => this.#visibleImage(viewer, id),
    listImages: async (viewer, { name, marker, sortDir, limit }) => {
      const rows = [...this.images.values()]
        .filter((image) => mayRead(viewer, image) || image.visibility === 'public')
        .filter((image) => name === undefined || image.name === name)
      return pageOf(sortDir === 'desc' ? rows.reverse() : rows, marker, limit)
    },
    updateImage: async (viewer, id, change) => {
      const image = this.#visibleImage(viewer, id)
      const fields: ImageFields = change(image)
      const updated = { ...image, ...fields, updatedAt: this.now() }
      this.images.set(id, updated)
      return updated
    },
    uploadImage: async (viewer, id, source, signal) => {
      const image = this.#visibleImage(viewer, id)
      if (image.status !== 'queued') throw new UploadConflict(id)
      const chunks: Uint8Array[] = []
      for await (const chunk of source) {
        signal.throwIfAborted()
        chunks.push(Buffer.from(chunk))
      }
      this.store(id, Buffer.concat(chunks))
    },
    readImage: async (viewer, id, range, signal) => {
      const image = this.#visibleImage(viewer, id)
      const all = this.data.get(id)
      if (!all) return null
      const bytes = range ? all.subarray(range.offset, range.offset + range.length) : all
      return {
        size: all.length,
        checksum: image.checksum,
        bytes: reusingOneBuffer(bytes, signal),
        [Symbol.asyncDispose]: async () => {}
      }
    },
    deleteImage: async (viewer, id) => {
      const image = this.#visibleImage(viewer, id)
      if (image.protected) throw new ImageProtected(id)
      const open = [...this.tasks.values()].filter((task) => task.request.imageId === id && !isTerminal(task.status))
      if (open.length > 0) throw new ImageInUse(id, { tasks: open.map((task) => task.id) })
      this.images.delete(id)
    }
  }

  /** No file for download. */
  readonly tempUrls: TempUrls = {
    links: async () => new Map(),
    find: async () => undefined,
    download: async () => undefined,
    issue: async (_viewer, id) => {
      throw new TempUrlAbsent(id)
    },
    revoke: async (_viewer, id) => {
      throw new TempUrlAbsent(id)
    },
    downloads: async (_viewer, id) => {
      throw new TempUrlAbsent(id)
    }
  }

  /** Gives an image its data. */
  store(id: ImageId, bytes: Buffer): void {
    const image = this.images.get(id)
    if (!image) throw new ImageNotFound(id)
    const hash = (algorithm: string) => createHash(algorithm).update(bytes).digest('hex')
    this.data.set(id, bytes)
    this.images.set(id, {
      ...image,
      status: 'active',
      size: bytes.length,
      virtualSize: bytes.length,
      checksum: hash('md5'),
      sha512: hash('sha512')
    })
  }

  #created(viewer: Viewer, once: OnceAsked | undefined): Task | undefined {
    const known = once && this.#keys.get(keyOf(viewer, once))
    if (known && known.body !== JSON.stringify(once.body)) throw new IdempotencyKeyReused()
    return known && this.tasks.get(known.task)
  }

  #resolve(viewer: Viewer, body: ExportBody) {
    const tasks = {
      exportableImage: async (_viewer: Viewer, id: ImageId) => {
        const { status, name, owner, visibility, properties } = this.#visibleImage(viewer, id)
        return { status, name, source: undefined, facts: { owner, visibility, properties } }
      }
    }
    const ids = { task: taskId(randomUUID()), exportId: randomUUID() }
    return resolveRequest({ tasks, formats, destinations, scrubPolicy: scrubPolicy() }, viewer, ids, body)
  }

  #visibleImage(viewer: Viewer, id: ImageId): Image {
    const image = this.images.get(id)
    if (!image || !(mayRead(viewer, image) || image.visibility === 'public')) throw new ImageNotFound(id)
    return image
  }
}

/** What every dry run answers. */
const PREFLIGHT: PreflightReport = {
  ok: false,
  durationMs: 12,
  checks: [
    { id: 'image.active', ok: true },
    { id: 'dest.auth', ok: false, code: 'DEST_AUTH_FAILED', message: 'No: send valid ones.', actor: 'user' },
    { id: 'dest.collision', ok: false, skipped: true }
  ],
  estimate: { bytesMin: 1, bytesMax: 2, seconds: 3, basis: 'a guess' }
}

const formats = createFormats()
const destinations = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints: [] })

/** An app over `service` that answers dev tokens. */
export const appOver = (service: MemoryService, change: Partial<AppParts> = {}) =>
  buildApp({
    tasks: service.taskUses,
    images: service.library,
    tempUrls: service.tempUrls,
    health: { ready: async () => ({ ok: true, reasons: [] }) },
    identity: devIdentity,
    publicUrl: () => 'http://images.example.com:9292',
    formats: ['raw', 'qcow2'],
    diskFormats: ['raw', 'qcow2'],
    credentialSchemas: destinations.credentialSchemas,
    capabilities: capabilitiesOf({
      config: readConfig({}, { split: false }),
      tasks: { usage: async () => ({ activeTasks: 0, bytesToday: 0 }) },
      formats,
      destinations,
      diskFormats: ['raw', 'qcow2'],
      scrubPolicy: scrubPolicy()
    }),
    ...change
  })

export const token = (project: string, roles = 'member', user = 'alice') => ({
  'x-auth-token': `${user}:${project}:${roles}`
})

/** As a real library gives them: every chunk in the same buffer. */
async function* reusingOneBuffer(bytes: Buffer, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(4096)
  for (let at = 0; at < bytes.length; at += buffer.length) {
    signal.throwIfAborted()
    yield buffer.subarray(0, bytes.copy(buffer, 0, at))
  }
}

const keyOf = ({ owner }: Viewer, { operation, key }: OnceAsked): string => JSON.stringify([owner, operation, key])

const mayRead = (viewer: Viewer, row: { readonly owner: string }): boolean => viewer.admin || row.owner === viewer.owner

function pageOf<T extends { readonly id: string }>(rows: T[], marker: string | undefined, limit: number): T[] {
  if (marker === undefined) return rows.slice(0, limit)
  const at = rows.findIndex((row) => row.id === marker)
  if (at < 0) throw new MarkerNotFound(marker)
  return rows.slice(at + 1, at + 1 + limit)
}

const BLANK_IMAGE: Omit<Image, 'id' | 'createdAt' | 'updatedAt'> = {
  owner: ownerId('demo'),
  status: 'queued',
  name: null,
  diskFormat: 'raw',
  containerFormat: 'bare',
  visibility: 'private',
  protected: false,
  minDisk: 0,
  minRam: 0,
  tags: [],
  properties: {},
  size: null,
  virtualSize: null,
  checksum: null,
  sha512: null
}

const BLANK_TASK: Omit<Task, 'id' | 'exportId' | 'createdAt' | 'updatedAt'> = {
  owner: ownerId('demo'),
  userId: 'alice',
  requestId: 'req-1',
  request: {
    imageId: imageId('deadbeef-dead-dead-dead-beefbeefbeef'),
    exportTo: 'https://store.example.com/mycontainer/path',
    exportFormat: 'qcow2',
    formatOptions: {},
    options: NO_OPTIONS
  },
  labels: NO_LABELS,
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
  startedAt: null,
  finishedAt: null,
  expiresAt: null
}
