import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { type ImageId, imageId, ownerId, type TaskId, taskId } from '../../../src/domain/ids.ts'
import { NO_LABELS, type Task } from '../../../src/domain/task.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import type { Claim, NewTask, TaskStore } from '../../../src/export/ports.ts'
import { createTaskStore } from '../../../src/postgres/task-store.ts'
import { migratedDatabase } from '../../support/database.ts'

export const HOUR_MS = 3_600_000
export const MAX_ATTEMPTS = 3
const settings = {
  maxAttempts: MAX_ATTEMPTS,
  deadlineMs: HOUR_MS,
  leaseMs: 30_000,
  keepMs: HOUR_MS,
  tempUrlMs: HOUR_MS
}

export const viewerOf = (owner: string, admin = false): Viewer => ({
  owner: ownerId(owner),
  userId: 'u',
  roles: [admin ? 'admin' : 'member'],
  admin
})
export const ALICE = viewerOf('alice')

export const FAILURE = {
  code: 'DEST_FORBIDDEN',
  actor: 'user',
  retriable: false,
  phase: 'transferring',
  attempts: 1
} as const
export const SENT = { bytes: 1, sha256: 'ab', composite: null, parts: 1 }
export const RESULT = { ...SENT, location: 's3://b/k', virtualSize: 512, durationSeconds: 1 }

/** Rows of one test file, in a database of its own that is empty before every test. */
export function taskRows() {
  let database: Awaited<ReturnType<typeof migratedDatabase>>
  let store: TaskStore
  beforeAll(async () => {
    database = await migratedDatabase()
    store = createTaskStore(database.pool, settings)
  })
  afterAll(() => database.close())
  beforeEach(() => database.pool.query('truncate tasks, images, temp_urls, downloads cascade'))

  const anImage = async (): Promise<ImageId> => {
    const id = imageId(randomUUID())
    await database.pool.query(
      `insert into images (id, owner, status, disk_format, container_format, visibility, protected, min_disk, min_ram, tags,
                           properties, size, virtual_size, checksum, sha512, upload_id)
       values ($1, 'alice', 'active', 'raw', 'bare', 'public', false, 0, 0, '{}', '{}', 1024, 1024, 'aa', 'aa',
               gen_random_uuid())`,
      [id]
    )
    return id
  }

  const create = async (change: Partial<NewTask> = {}): Promise<TaskId> => {
    const id = taskId(randomUUID())
    const outcome = await store.create(
      {
        id,
        exportId: randomUUID(),
        objectUrl: 'https://example.com/place/name',
        owner: ownerId('alice'),
        userId: 'u',
        requestId: 'req-1',
        request: {
          imageId: await anImage(),
          exportTo: 'https://example.com/place',
          exportFormat: 'raw',
          formatOptions: {},
          options: NO_OPTIONS
        },
        labels: NO_LABELS,
        credentials: {
          kind: 'basic',
          fingerprint: '0123456789ab',
          sealed: { keyId: 'k1', wrappedKey: Buffer.from('wrapped'), ciphertext: Buffer.from('cipher') }
        },
        ...change
      },
      ALICE
    )
    if (outcome.status !== 'created') throw new Error(`the task was not created: ${outcome.status}`)
    return id
  }

  return {
    get store() {
      return store
    },
    get pool() {
      return database.pool
    },
    get url() {
      return database.url
    },
    anImage,
    create,
    async claim(): Promise<Claim> {
      const claim = await store.claimDue('w')
      if (!claim) throw new Error('nothing was due')
      return claim
    },
    async get(id: TaskId): Promise<Task> {
      const task = await store.get(viewerOf('root', true), id)
      if (!task) throw new Error('the task has gone')
      return task
    },
    /** As if its worker had died a while ago. */
    leaseRunsOut: (id: TaskId) =>
      database.pool.query(`update tasks set lease_until = now() - interval '1 second' where id = $1`, [id])
  }
}
