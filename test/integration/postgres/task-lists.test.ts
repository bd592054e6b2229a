import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { imageId, ownerId, type TaskId, taskId } from '../../../src/domain/ids.ts'
import type { Task } from '../../../src/domain/task.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import { TASK_SORT_KEYS, type TaskQuery } from '../../../src/export/task-query.ts'
import { taskLists } from '../../../src/postgres/task-lists.ts'
import { migratedDatabase } from '../../support/database.ts'

const viewer = (owner: string, admin = false): Viewer => ({ owner: ownerId(owner), userId: 'u', roles: [], admin })
const ALICE = viewer('alice')
const BOB = viewer('bob')
const ADMIN = viewer('ops', true)
const IMAGES = [randomUUID(), randomUUID()]
const STATUSES = ['queued', 'processing', 'transferring', 'success', 'failure']
const PLACES = ['https://one.example.com/a', 'swift://Cloud.Foo:8080/account/container', 's3://bucket/key', 'tempurl:']
const HOSTS = ['one.example.com', 'cloud.foo:8080', 'bucket']
const AT = Date.parse('2026-11-22T10:00:00Z')
const OWN = 60

let database: Awaited<ReturnType<typeof migratedDatabase>>
let list: ReturnType<typeof taskLists>['list']
beforeAll(async () => {
  database = await migratedDatabase()
  list = taskLists(database.pool).list
  // Several of a time, so that ties have to be broken; of a second, so that fractions count.
  for (let i = 0; i < OWN; i++) await insert(i, 'alice')
  for (let i = 0; i < 5; i++) await insert(i, 'bob')
  await insert(0, 'alice', 'success', new Date(0))
})
afterAll(() => database.close())

async function insert(i: number, owner: string, status = STATUSES[i % 5], expiry?: Date): Promise<void> {
  const ended = status === 'success' || status === 'failure'
  await database.pool.query(
    `insert into tasks (id, owner, user_id, request_id, image_id, status, export_to, export_format, export_id, source,
                        max_attempts, deadline, created_at, updated_at, expires_at, result, failure, message, tags)
     values (gen_random_uuid(), $1, 'u', 'req-1', $2, $3, $4, $5, gen_random_uuid(), '{}', 5, now(), $6, $7, $8, $9, $10, 'm', $11)`,
    [
      owner,
      IMAGES[i % 2],
      status,
      PLACES[i % 4],
      ['raw', 'qcow2', 'vmdk'][i % 3],
      new Date(AT + Math.floor(i / 3) * 400),
      new Date(AT + (i % 7) * 60_000),
      ended ? (expiry ?? new Date(Date.now() + 3_600_000 + (i % 4) * 1000)) : null,
      status === 'success' ? '{}' : null,
      status === 'failure' ? '{}' : null,
      i % 2 === 0 ? ['nightly', `n${i % 3}`] : []
    ]
  )
}

const newest = [{ key: 'created_at', direction: 'desc' }] as const
const ids = (tasks: readonly Task[]) => tasks.map(({ id }) => id)

async function pagedThrough(query: Omit<TaskQuery, 'limit'>, who = ALICE): Promise<TaskId[]> {
  const all: TaskId[] = []
  for (let marker: TaskId | undefined; ; ) {
    const page = ids(await list(who, { ...query, limit: 7, ...(marker && { marker }) }))
    all.push(...page)
    marker = page.at(-1)
    if (page.length < 7) return all
  }
}

describe('paging', () => {
  const orders: TaskQuery['order'][] = [
    ...TASK_SORT_KEYS.flatMap((key) => (['asc', 'desc'] as const).map((direction) => [{ key, direction }])),
    [
      { key: 'status', direction: 'asc' },
      { key: 'updated_at', direction: 'desc' }
    ],
    [
      { key: 'expires_at', direction: 'desc' },
      { key: 'status', direction: 'asc' },
      { key: 'created_at', direction: 'desc' }
    ]
  ]
  it.each(orders.map((order) => [order.map(({ key, direction }) => `${key}:${direction}`).join(), order] as const))(
    'by %s shows everything once, in one order',
    async (_, order) => {
      const whole = ids(await list(ALICE, { order, limit: 1000 }))

      expect(whole).toHaveLength(OWN)
      expect(await pagedThrough({ order })).toEqual(whole)
    }
  )

  it('orders by the keys that were asked for', async () => {
    const tasks = await list(ALICE, {
      order: [
        { key: 'status', direction: 'asc' },
        { key: 'updated_at', direction: 'desc' }
      ],
      limit: 1000
    })

    const keys = tasks.map(({ status, updatedAt }) => [status, -updatedAt.getTime()] as const)
    const sorted = [...keys].sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x - y))
    expect(keys).toEqual(sorted)
  })

  it.each([
    ["another project's", async () => ids(await list(BOB, { order: newest, limit: 1 }))[0]],
    ['an unknown', async () => taskId(randomUUID())],
    [
      'an expired',
      async () => {
        const { rows } = await database.pool.query('select id from tasks where expires_at < now()')
        return taskId(rows[0].id)
      }
    ]
  ])('knows no marker that is %s task', async (_, markerOf) => {
    const marker = await markerOf()
    if (!marker) throw new Error('there is no such task')

    await expect(list(ALICE, { order: newest, limit: 5, marker })).rejects.toMatchObject({ code: 'MARKER_NOT_FOUND' })
  })

  it('ends behind the last task', async () => {
    const last = ids(await list(ALICE, { order: newest, limit: 1000 })).at(-1)
    if (!last) throw new Error('there is no task')

    expect(await list(ALICE, { order: newest, limit: 5, marker: last })).toEqual([])
  })
})

describe('what is listed', () => {
  it("is the project's own, everybody's for an admin, and never what has expired", async () => {
    expect(await list(ALICE, { order: newest, limit: 1000 })).toHaveLength(OWN)
    expect(await list(BOB, { order: newest, limit: 1000 })).toHaveLength(5)
    expect(await list(ADMIN, { order: newest, limit: 1000 })).toHaveLength(OWN + 5)
    expect(await list(ADMIN, { order: newest, limit: 1000, owner: ownerId('bob') })).toHaveLength(5)
    expect(await list(ALICE, { order: newest, limit: 1000, owner: ownerId('bob') })).toEqual([])
  })

  const second = (at: number) => ({ from: new Date(at), to: new Date(at + 1000) })
  it.each<[string, Partial<TaskQuery>, (task: Task) => boolean]>([
    ['a status', { statuses: ['queued'] }, ({ status }) => status === 'queued'],
    ['statuses', { statuses: ['queued', 'success'] }, ({ status }) => ['queued', 'success'].includes(status)],
    ['no status', { statuses: [] }, () => false],
    ['an image', { imageId: imageId(IMAGES[1] ?? '') }, ({ request }) => request.imageId === IMAGES[1]],
    ['a format', { formats: ['vmdk'] }, ({ request }) => request.exportFormat === 'vmdk'],
    ['formats', { formats: ['raw', 'vmdk'] }, ({ request }) => request.exportFormat !== 'qcow2'],
    [
      'hosts',
      { destinationHosts: HOSTS.slice(1) },
      ({ request }) => request.exportTo.startsWith('s') /* swift and s3 */
    ],
    ['a host', { destinationHosts: ['one.example.com'] }, ({ request }) => request.exportTo.startsWith('https')],
    ['a second', { created: { within: [second(AT + 4000)], outside: [] } }, ({ createdAt }) => inSecond(createdAt, 4)],
    [
      'another second',
      { created: { within: [], outside: [second(AT + 4000)] } },
      ({ createdAt }) => !inSecond(createdAt, 4)
    ],
    [
      'a time of change',
      { updated: { within: [{ from: new Date(AT + 120_000) }, { to: new Date(AT + 300_000) }], outside: [] } },
      ({ updatedAt }) => updatedAt.getTime() >= AT + 120_000 && updatedAt.getTime() < AT + 300_000
    ],
    [
      'all at once',
      { statuses: ['queued'], formats: ['raw'], imageId: imageId(IMAGES[0] ?? '') },
      ({ status, request }) => status === 'queued' && request.exportFormat === 'raw' && request.imageId === IMAGES[0]
    ]
  ])('is filtered by %s, and paged', async (_, filter, holds) => {
    const all = await list(ALICE, { order: newest, limit: 1000 })
    const expected = ids(all.filter(holds))

    expect(ids(await list(ALICE, { order: newest, limit: 1000, ...filter }))).toEqual(expected)
    expect(await pagedThrough({ order: newest, ...filter })).toEqual(expected)
    if (filter.statuses?.length !== 0) expect(expected.length).toBeGreaterThan(0)
  })

  it('is filtered by tags, all of which a task has to have', async () => {
    expect(await list(ALICE, { order: newest, limit: 1000, tags: ['nightly'] })).toHaveLength(OWN / 2)
    expect(await list(ALICE, { order: newest, limit: 1000, tags: ['nightly', 'n1'] })).toHaveLength(OWN / 6)
    expect(await list(ALICE, { order: newest, limit: 1000, tags: ['weekly'] })).toEqual([])
  })
})

const inSecond = (time: Date, second: number): boolean => Math.floor((time.getTime() - AT) / 1000) === second
