import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { type ImageId, taskId } from '../../../src/domain/ids.ts'
import { NO_LABELS } from '../../../src/domain/task.ts'
import type { Once } from '../../../src/export/once.ts'
import type { NewTask, TaskStore } from '../../../src/export/ports.ts'
import type { Quotas } from '../../../src/export/quotas.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { createPool } from '../../../src/postgres/pool.ts'
import { createTaskStore } from '../../../src/postgres/task-store.ts'
import { migratedDatabase } from '../../support/database.ts'
import { activeImage, memberOf } from '../library/image-rows.ts'

const HOUR_MS = 3_600_000
const settings = { maxAttempts: 3, deadlineMs: HOUR_MS, leaseMs: 30_000, keepMs: HOUR_MS, tempUrlMs: HOUR_MS }
const ALICE = memberOf('p1')
const BOB = memberOf('p2')
const print = (text: string) => Buffer.alloc(32, text)
const once = (change: Partial<Once> = {}): Once => ({
  operation: 'POST /v2/tasks',
  key: 'k',
  prints: [print('a')],
  ...change
})

let database: Awaited<ReturnType<typeof migratedDatabase>>
let replica: ReturnType<typeof createPool>
let image: ImageId
beforeAll(async () => {
  database = await migratedDatabase()
  replica = createPool({ url: database.url, max: 10, onError: () => {} })
  image = (await activeImage(imageStore(database.pool), ALICE)).id
  await database.pool.query(`update images set size = 1000, visibility = 'public'`)
})
afterAll(async () => {
  await replica.end()
  await database.close()
})
beforeEach(() => database.pool.query('truncate tasks, idempotency_keys, removed_exports cascade'))

const newTask = (viewer = ALICE, change: Partial<NewTask> = {}): NewTask => ({
  id: taskId(randomUUID()),
  exportId: randomUUID(),
  objectUrl: 'https://example.com/place/name',
  owner: viewer.owner,
  userId: 'u',
  requestId: 'req-1',
  request: {
    imageId: image,
    exportTo: 'https://example.com/place',
    exportFormat: 'raw',
    formatOptions: {},
    options: NO_OPTIONS
  },
  labels: NO_LABELS,
  credentials: null,
  ...change
})
const storeOf = (pool = database.pool, quotas?: Quotas): TaskStore =>
  createTaskStore(pool, { ...settings, ...(quotas && { quotas }) })
const rows = async (table: string): Promise<number> => (await database.pool.query(`select from ${table}`)).rowCount ?? 0

/** What each of many creates at once came to: its status, or the code of its refusal. */
async function outcomes(creates: readonly Promise<{ readonly status: string }>[]): Promise<Record<string, number>> {
  const settled = await Promise.allSettled(creates)
  const counted: Record<string, number> = {}
  for (const one of settled) {
    const name = one.status === 'fulfilled' ? one.value.status : (one.reason.code ?? String(one.reason))
    counted[name] = (counted[name] ?? 0) + 1
  }
  return counted
}

describe('a create with a key', () => {
  it('happens once, though twenty equal ones come at once to two processes', async () => {
    const stores = [storeOf(), storeOf(replica)]

    const counted = await outcomes(
      Array.from({ length: 20 }, (_, index) => (stores[index % 2] ?? storeOf()).create(newTask(), ALICE, once()))
    )

    expect(await rows('tasks')).toBe(1)
    expect(await storeOf().usage(ALICE.owner)).toEqual({ activeTasks: 1, bytesToday: 1000 })
    expect(counted.created).toBe(1)
    expect((counted.replayed ?? 0) + (counted.IDEMPOTENCY_KEY_BUSY ?? 0)).toBe(19)
  })

  it('is refused while the first is being carried out, and answered with its task afterwards', async () => {
    const client = await replica.connect()
    await client.query('begin')
    await client.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [
      JSON.stringify(['once', ALICE.owner, 'POST /v2/tasks', 'k'])
    ])
    await expect(storeOf().create(newTask(), ALICE, once())).rejects.toMatchObject({ code: 'IDEMPOTENCY_KEY_BUSY' })
    await client.query('rollback')
    client.release()

    const first = await storeOf().create(newTask(), ALICE, once())
    const second = await storeOf(replica).create(newTask(), ALICE, once())

    const task = first.status === 'created' ? first.task : undefined
    expect(second).toEqual({ status: 'replayed', task: { ...task, ahead: 0 } })
    expect(await storeOf(replica).createdBefore(ALICE.owner, once())).toEqual({ ...task, ahead: 0 })
  })

  it('is refused with another body, and known by a print of an older key', async () => {
    await storeOf().create(newTask(), ALICE, once())

    await expect(storeOf().create(newTask(), ALICE, once({ prints: [print('b')] }))).rejects.toMatchObject({
      code: 'IDEMPOTENCY_KEY_REUSED'
    })
    expect(await storeOf().createdBefore(ALICE.owner, once({ prints: [print('b'), print('a')] }))).toBeDefined()
  })

  it.each([
    ['another project', BOB, once()],
    ['another operation', ALICE, once({ operation: 'POST /v2/images/x/export' })],
    ['another key', ALICE, once({ key: 'K' })]
  ])('is another one for %s', async (_name, viewer, other) => {
    await storeOf().create(newTask(), ALICE, once())

    expect(await storeOf().create(newTask(viewer), viewer, other)).toMatchObject({ status: 'created' })
  })

  it('keeps nothing when it fails', async () => {
    const gone = newTask(ALICE, { request: { ...newTask().request, imageId: randomUUID() as ImageId } })

    expect(await storeOf().create(gone, ALICE, once())).toEqual({ status: 'image_not_found' })
    expect(await rows('idempotency_keys')).toBe(0)
    expect(await storeOf().create(newTask(), ALICE, once())).toMatchObject({ status: 'created' })
  })

  describe('is kept', () => {
    const age = (interval: string) =>
      database.pool.query('update idempotency_keys set created_at = now() - $1::interval', [interval])
    const expire = () =>
      database.pool.query(
        `update tasks set status = 'failure', failure = '{}', message = 'm', expires_at = now() - interval '1 second'`
      )

    it('for a day, though its task has expired: no second task is made', async () => {
      await storeOf().create(newTask(), ALICE, once())
      await age('23 hours 59 minutes')
      await expire()
      await storeOf().forget()

      await expect(storeOf().create(newTask(), ALICE, once())).rejects.toMatchObject({
        code: 'IDEMPOTENCY_TASK_EXPIRED'
      })
    })

    it('as long as its task', async () => {
      await storeOf().create(newTask(), ALICE, once())
      await age('30 days')
      await storeOf().forget()

      expect(await storeOf().create(newTask(), ALICE, once())).toMatchObject({ status: 'replayed' })
    })

    it('no longer, swept or not', async () => {
      await storeOf().create(newTask(), ALICE, once())
      await age('24 hours 1 second')
      await expire()

      expect(await storeOf().create(newTask(), ALICE, once({ prints: [print('b')] }))).toMatchObject({
        status: 'created'
      })
      await age('24 hours 1 second')
      await expire()
      await storeOf().forget()
      expect(await rows('idempotency_keys')).toBe(0)
    })
  })
})

describe('quotas', () => {
  it('of tasks are never overshot, though fifty creates come at once to two processes', async () => {
    const quotas = { activeTasks: 7, bytesPerDay: 0 }
    const stores = [storeOf(database.pool, quotas), storeOf(replica, quotas)]

    const counted = await outcomes(
      Array.from({ length: 50 }, (_, index) => (stores[index % 2] ?? storeOf()).create(newTask(), ALICE))
    )

    expect(counted).toEqual({ created: 7, QUOTA_EXCEEDED: 43 })
    expect(await rows('tasks')).toBe(7)
  })

  it('of bytes neither', async () => {
    const quotas = { activeTasks: 0, bytesPerDay: 5500 }

    const counted = await outcomes(
      Array.from({ length: 50 }, () => storeOf(database.pool, quotas).create(newTask(), ALICE))
    )

    expect(counted).toEqual({ created: 5, QUOTA_EXCEEDED: 45 })
    expect(await storeOf().usage(ALICE.owner)).toEqual({ activeTasks: 5, bytesToday: 5000 })
  })

  it('say what is used and what to do', async () => {
    const one = storeOf(database.pool, { activeTasks: 1, bytesPerDay: 0 })
    const few = storeOf(database.pool, { activeTasks: 0, bytesPerDay: 1500 })
    await one.create(newTask(), ALICE)

    await expect(one.create(newTask(), ALICE)).rejects.toThrow(/has 1 tasks that have not ended, and may have 1: wait/)
    await expect(few.create(newTask(), ALICE)).rejects.toThrow(/have 1000 of 1500 bytes, and this image has 1000: wait/)
  })

  it('are of one project, and of tasks that have not ended', async () => {
    const store = storeOf(database.pool, { activeTasks: 1, bytesPerDay: 0 })
    await store.create(newTask(), ALICE)

    expect(await store.create(newTask(BOB), BOB)).toMatchObject({ status: 'created' })
    await database.pool.query(
      `update tasks set status = 'failure', failure = '{}', message = 'm', expires_at = now() + interval '1 day'`
    )
    expect(await store.create(newTask(), ALICE)).toMatchObject({ status: 'created' })
  })

  it('count the file once it is known, and a task that has gone, for a day', async () => {
    const store = storeOf()
    await store.create(newTask(), ALICE)
    const result = { location: 'x', bytes: 250, virtualSize: 1, sha256: 'a', composite: null, parts: 1 }
    await database.pool.query(`update tasks set status = 'success', result = $1, expires_at = now()`, [
      JSON.stringify(result)
    ])

    expect(await store.usage(ALICE.owner)).toEqual({ activeTasks: 0, bytesToday: 250 })
    await store.sweep()
    expect(await rows('tasks')).toBe(0)
    expect(await store.usage(ALICE.owner)).toEqual({ activeTasks: 0, bytesToday: 250 })
    await database.pool.query(`update removed_exports set created_at = now() - interval '25 hours'`)
    expect(await store.usage(ALICE.owner)).toEqual({ activeTasks: 0, bytesToday: 0 })
    expect(await store.forget()).toEqual({ keys: 0, days: 1 })
    expect(await rows('removed_exports')).toBe(0)
  })
})

describe('a new task', () => {
  it('has the labels and the limits that it was given', async () => {
    const labels = {
      description: 'd',
      tags: ['a', 'b'],
      metadata: { m: 'n' },
      priority: 'low',
      keepSeconds: 90
    } as const
    const deadline = '2026-12-01T00:00:00.500Z'
    const options = { ...NO_OPTIONS, limits: { max_attempts: 2, deadline } }
    const task = newTask(ALICE, { labels, request: { ...newTask().request, options } })

    await storeOf().create(task, ALICE)

    expect(await storeOf().get(ALICE, task.id)).toMatchObject({ labels, request: { options } })
    const { rows } = await database.pool.query('select max_attempts, deadline from tasks')
    expect(rows).toEqual([{ max_attempts: 2, deadline: new Date(deadline) }])
  })

  it('is kept after its end as long as it asked for', async () => {
    const store = storeOf()
    await store.create(newTask(ALICE, { labels: { ...NO_LABELS, keepSeconds: 90 } }), ALICE)
    const claim = await store.claimDue('w')
    if (!claim) throw new Error('nothing to claim')

    await store.settleFailure(claim, 'm', { code: 'C', actor: 'user', retriable: false, phase: 'p', attempts: 1 })

    const { rows } = await database.pool.query(
      'select extract(epoch from expires_at - finished_at)::int as kept from tasks'
    )
    expect(rows).toEqual([{ kept: 90 }])
  })
})
