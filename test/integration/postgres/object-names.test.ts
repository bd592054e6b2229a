import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { NO_LABELS } from '../../../src/domain/task.ts'
import { type Claim, LeaseLost, type TaskStore } from '../../../src/export/ports.ts'
import { createTaskStore } from '../../../src/postgres/task-store.ts'
import { migratedDatabase } from '../../support/database.ts'

const HOUR_MS = 3_600_000
const settings = { maxAttempts: 3, deadlineMs: HOUR_MS, leaseMs: 30_000, keepMs: HOUR_MS, tempUrlMs: HOUR_MS }
const NAME = 'a'.repeat(64)
const OTHER = 'b'.repeat(64)
const FAILURE = { code: 'INTERNAL', actor: 'operator', retriable: true, phase: 'preflight', attempts: 1 } as const

let database: Awaited<ReturnType<typeof migratedDatabase>>
let store: TaskStore
beforeAll(async () => {
  database = await migratedDatabase()
  store = createTaskStore(database.pool, settings)
})
afterAll(() => database.close())
beforeEach(() => database.pool.query('truncate tasks, images cascade'))

/** A task of this project that is under way. */
async function claimed(owner: string): Promise<Claim> {
  const id = imageId(randomUUID())
  await database.pool.query(
    `insert into images (id, owner, status, name, disk_format, container_format, visibility, protected, min_disk, min_ram,
                         tags, properties, size, virtual_size, checksum, sha512, upload_id)
     values ($1, $2, 'active', 'web', 'raw', 'bare', 'private', false, 0, 0, '{}', '{}', 1024, 1024, 'aa', 'aa', gen_random_uuid())`,
    [id, owner]
  )
  const exportTo = 'https://example.com/place'
  await store.create(
    {
      id: taskId(randomUUID()),
      exportId: randomUUID(),
      objectUrl: `${exportTo}/disk.raw`,
      owner: ownerId(owner),
      userId: 'u',
      requestId: 'req-1',
      request: { imageId: id, exportTo, exportFormat: 'raw', formatOptions: {}, options: NO_OPTIONS },
      labels: NO_LABELS,
      credentials: null
    },
    { owner: ownerId(owner), userId: 'u', roles: ['member'], admin: false }
  )
  const claim = await store.claimDue('w')
  if (!claim) throw new Error('nothing was due')
  return claim
}
const taking = (claim: Claim, name: string, suffix = 0) => store.takeName(claim, { suffix, name, warnings: [] })

describe('the name of an object', () => {
  it('is one task’s of those that are under way, whosever they are', async () => {
    const [a, b] = [await claimed('alice'), await claimed('bob')]

    expect(await taking(a, NAME)).toBe(true)
    expect(await taking(b, NAME)).toBe(false)
    expect(await taking(b, OTHER, 1)).toBe(true)
    expect(await taking(a, NAME)).toBe(true)
  })

  it('goes to exactly one of many who take it at the same time', async () => {
    const claims = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((owner) => claimed(owner)))

    const taken = await Promise.all(claims.map((claim) => taking(claim, NAME)))

    expect(taken.filter(Boolean)).toHaveLength(1)
  })

  it('is held between two attempts, and free when the task has ended', async () => {
    const [a, b] = [await claimed('alice'), await claimed('bob')]
    await taking(a, NAME)

    await store.release(a, { delayMs: 0, countAttempt: true, message: '' })
    expect(await taking(b, NAME)).toBe(false)

    const again = await store.claimDue('w')
    if (!again) throw new Error('nothing was due')
    await store.settleFailure(again, 'It failed.', FAILURE)
    expect(await taking(b, NAME)).toBe(true)
  })

  it('is not taken by an attempt that has lost its lease', async () => {
    const claim = await claimed('alice')
    await database.pool.query(`update tasks set lease_until = now() - interval '1 second'`)
    await store.claimDue('another')

    await expect(taking(claim, NAME)).rejects.toThrow(LeaseLost)
  })
})
