import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { taskId } from '../../../src/domain/ids.ts'
import { NO_PROGRESS } from '../../../src/domain/task.ts'
import { EQUAL_SHARES, type Fairness } from '../../../src/export/fairness.ts'
import type { Claim, TaskStore } from '../../../src/export/ports.ts'
import { createTaskStore } from '../../../src/postgres/task-store.ts'
import { migratedDatabase } from '../../support/database.ts'
import { FAILURE, HOUR_MS, RESULT, viewerOf } from './task-rows.ts'

let database: Awaited<ReturnType<typeof migratedDatabase>>
beforeAll(async () => {
  database = await migratedDatabase()
})
afterAll(() => database.close())
beforeEach(async () => {
  await database.pool.query('truncate tasks, project_shares cascade')
  await database.pool.query('update share_clock set used = 0')
})

const storeWith = (fairness: Partial<Fairness> = {}): TaskStore =>
  createTaskStore(database.pool, {
    maxAttempts: 5,
    deadlineMs: HOUR_MS,
    leaseMs: 30_000,
    keepMs: HOUR_MS,
    tempUrlMs: HOUR_MS,
    fairness: { ...EQUAL_SHARES, ...fairness }
  })

type Queued = { owner: string; count?: number; size?: number; to?: string; priority?: string }

/** Tasks that are due, of a hundredth of a second ago and so on: those queued first are older. */
let age = 0
beforeEach(() => {
  age = 0
})
async function queue({ owner, count = 1, size = GiB, to = 'https://host/place', priority = 'normal' }: Queued) {
  const { rows } = await database.pool.query<{ id: string }>(
    `insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, export_id, source, options,
                        priority, max_attempts, deadline, next_run_at)
     select gen_random_uuid(), $1, 'u', 'r', gen_random_uuid(), $2, 'raw', gen_random_uuid(),
            jsonb_build_object('size', $3::bigint), '{"limits": {}}', $4, 5, now() + interval '1 hour',
            now() - interval '5 minutes' + (n + $6) * interval '10 milliseconds'
       from generate_series(1, $5::integer) as n
     returning id`,
    [owner, to, size, priority, count, age]
  )
  age += count
  return rows.map(({ id }) => taskId(id))
}

async function claimed(store: TaskStore): Promise<Claim> {
  const claim = await store.claimDue('w')
  if (!claim) throw new Error('nothing was due')
  return claim
}

async function ownersOf(store: TaskStore, count: number): Promise<string[]> {
  const owners: string[] = []
  while (owners.length < count) owners.push((await claimed(store)).task.owner)
  return owners
}

const end = (store: TaskStore, claim: Claim, bytes: number) => store.settleSuccess(claim, { ...RESULT, bytes })
const bytesOf = (claims: readonly Claim[], owner: string) =>
  claims.filter(({ task }) => task.owner === owner).reduce((sum, { source }) => sum + source.size, 0)

describe('a claim', () => {
  it('counts on from what another task of the project has given back meanwhile', async () => {
    const store = storeWith()
    await queue({ owner: 'a', count: 2 })
    await claimed(store)
    const usedOf = async () => {
      const { rows } = await database.pool.query<{ used: number }>(`select used::float from project_shares`)
      return rows[0]?.used ?? 0
    }
    const before = await usedOf()
    const ending = await database.pool.connect()
    await ending.query('begin')
    await ending.query('update project_shares set used = used - 1000')

    const next = claimed(store)
    await expect
      .poll(async () => (await database.pool.query(`select from pg_locks where not granted`)).rowCount)
      .toBeGreaterThan(0)
    await ending.query('commit')
    ending.release()
    await next

    expect(await usedOf()).toBe(2 * before - 1000)
  })
})

describe('projects', () => {
  it('are served in turn: a thousand tasks of one do not delay the first of another', async () => {
    const store = storeWith()
    await queue({ owner: 'crowd', count: 1000 })
    expect(await ownersOf(store, 3)).toEqual(['crowd', 'crowd', 'crowd'])

    await queue({ owner: 'guest', count: 2 })

    expect(await ownersOf(store, 5)).toEqual(['guest', 'crowd', 'guest', 'crowd', 'crowd'])
  })

  it('get bytes by their weights, however their images differ in size', async () => {
    const store = storeWith({ weights: { heavy: 3 } })
    // Sizes from a generator with a seed: the same in every run.
    let seed = 42
    const sizes = Array.from({ length: 120 }, () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      return 64 * MiB * (1 + (seed % 64))
    })
    for (const size of sizes) for (const owner of ['heavy', 'light']) await queue({ owner, size })
    const claims: Claim[] = []
    const largest = Math.max(...sizes)

    for (let turn = 0; turn < 130; turn++) {
      claims.push(await claimed(store))
      // Start-time fair queueing: never further apart than one task of each.
      const apart = Math.abs(bytesOf(claims, 'heavy') / 3 - bytesOf(claims, 'light'))
      expect(apart).toBeLessThanOrEqual(largest / 3 + largest)
    }
    expect(claims.filter(({ task }) => task.owner === 'heavy').length).toBeGreaterThan(80)
  })

  it('save up no turns while they have nothing to do', async () => {
    const store = storeWith()
    await queue({ owner: 'old', count: 1 })
    await end(store, await claimed(store), GiB)
    await queue({ owner: 'busy', count: 40 })
    await ownersOf(store, 20)

    await queue({ owner: 'old', count: 10 })
    await queue({ owner: 'new', count: 10 })

    // One turn more than the one that has just had its own, and then as many.
    const next = await ownersOf(store, 11)
    const turns = ['old', 'new', 'busy'].map((owner) => next.filter((name) => name === owner).length)
    expect(turns).toEqual([4, 4, 3])
  })

  it('pay for what was sent', async () => {
    const store = storeWith()
    await queue({ owner: 'sparse', count: 9, size: 64 * GiB })
    await queue({ owner: 'dense', count: 9, size: GiB })
    const order: string[] = []
    for (let turn = 0; turn < 10; turn++) {
      const claim = await claimed(store)
      order.push(claim.task.owner)
      await end(store, claim, GiB) // the images of one are nearly empty
    }
    expect(order.filter((owner) => owner === 'sparse')).toHaveLength(5)
  })

  it('have their turns also while the tasks of one fail before a byte has moved', async () => {
    const store = storeWith()
    await queue({ owner: 'broken', count: 9 })
    await queue({ owner: 'broken too', count: 9 })
    const owners: string[] = []

    for (let turn = 0; turn < 6; turn++) {
      const claim = await claimed(store)
      owners.push(claim.task.owner)
      await store.settleFailure(claim, 'it failed', FAILURE)
    }

    expect(owners.filter((owner) => owner === 'broken')).toHaveLength(3)
  })

  it('are not charged for an attempt that was handed back', async () => {
    const store = storeWith()
    await queue({ owner: 'moved', count: 3 })
    await queue({ owner: 'other', count: 3 })
    const first = await claimed(store)
    await store.startTransfer(first, { ...NO_PROGRESS, sent: 96 * MiB }, null)
    await store.heartbeat(first, { ...NO_PROGRESS, sent: 96 * MiB })
    await store.release(first, { delayMs: 0, countAttempt: false, message: '' })

    const { rows } = await database.pool.query(
      `select used::float8 as used, (select count(*)::int from tasks where charge is not null) as charged
         from project_shares where owner = 'moved'`
    )
    expect(rows).toEqual([{ used: 96 * MiB, charged: 0 }])
  })

  it('are forgotten when they have nothing to do and would start where the others are', async () => {
    const store = storeWith()
    const [only] = await queue({ owner: 'gone' })
    await queue({ owner: 'stays', count: 3 })
    await end(store, await claimed(store), GiB)
    await store.sweep()
    const known = async () => {
      const { rows } = await database.pool.query('select owner from project_shares order by owner')
      return rows.map(({ owner }) => owner)
    }
    expect(only).toBeDefined()
    expect(await known()).toEqual(['gone', 'stays']) // it has used more than the others

    await ownersOf(store, 3)
    await store.sweep()

    expect(await known()).toEqual(['stays'])
    await queue({ owner: 'gone' })
    expect(await ownersOf(store, 1)).toEqual(['gone'])
  })

  it('are never forgotten under a task that is being created', async () => {
    const store = storeWith()
    const client = await database.pool.connect()
    for (let turn = 0; turn < 20; turn++) {
      await queue({ owner: 'flicker' })
      await claimed(store).then((claim) => store.settleFailure(claim, 'x', FAILURE))
      await database.pool.query('update share_clock set used = used + 1000000000000')
      await client.query('begin')
      await client.query(
        `insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, export_id, source, options,
                            max_attempts, deadline)
         values ($1, 'flicker', 'u', 'r', $1, 'https://h/p', 'raw', $1, '{"size": 1}', '{"limits": {}}', 5,
                 now() + interval '1 hour')`,
        [randomUUID()]
      )
      const sweeps = [store.sweep(), store.sweep()]
      await client.query('commit')
      await Promise.all(sweeps)
      expect(await claimed(store).then((claim) => store.settleFailure(claim, 'x', FAILURE))).toBeUndefined()
    }
    client.release()
  })
})

describe('inside a project', () => {
  it('priority comes before age, and age before nothing', async () => {
    const store = storeWith()
    const [low] = await queue({ owner: 'a', priority: 'low' })
    const [first, second] = await queue({ owner: 'a', count: 2 })
    const [high] = await queue({ owner: 'a', priority: 'high' })

    const order = [await claimed(store), await claimed(store), await claimed(store), await claimed(store)]

    expect(order.map(({ task }) => task.id)).toEqual([high, first, second, low])
  })

  it('does not put it before other projects', async () => {
    const store = storeWith()
    await queue({ owner: 'a', count: 2, priority: 'high' })
    await queue({ owner: 'b', count: 2, priority: 'low' })

    expect(await ownersOf(store, 4)).toEqual(['a', 'b', 'a', 'b'])
  })
})

describe('limits', () => {
  it('of hosts hold with eight workers at once, and in every one of 20 rounds', async () => {
    const store = storeWith({ hostConcurrency: 3 })
    await queue({ owner: 'a', count: 40, to: 'https://slow.example:8443/place' })
    await queue({ owner: 'b', count: 40, to: 'https://SLOW.example:8443/other' })
    await queue({ owner: 'b', count: 4, to: 's3://bucket/prefix' })
    let running: Claim[] = []
    let most = 0

    for (let round = 0; round < 20; round++) {
      const claims = await Promise.all(Array.from({ length: 8 }, () => store.claimDue('w')))
      running.push(...claims.filter((claim) => claim !== undefined))
      const { rows } = await database.pool.query<{ host: string; now: number }>(
        `select destination_host as host, count(*)::int as now from tasks where status = 'processing' group by 1`
      )
      most = Math.max(most, ...rows.map(({ now }) => now))
      expect(most).toBeLessThanOrEqual(3)
      const [ended, ...left] = running
      if (ended) await end(store, ended, GiB)
      running = left
    }
    expect(most).toBe(3)
    expect(await store.claimDue('w')).toMatchObject({ task: { request: { exportTo: expect.stringMatching(/slow/i) } } })
    expect(await store.claimDue('w')).toBeUndefined()
    expect((await store.sweep()).due).toEqual([])
  })

  it('of hosts hold nobody back who goes elsewhere, however many wait before', async () => {
    const store = storeWith({ hostConcurrency: 1 })
    await queue({ owner: 'a', count: 500, to: 'https://full.example/place' })
    await queue({ owner: 'b', count: 1, to: 'https://full.example/place' })
    const [free] = await queue({ owner: 'a', to: 'https://free.example/place' })
    await queue({ owner: 'b', count: 1, to: 'tempurl:' })
    await queue({ owner: 'c', count: 1, to: 'tempurl:' })
    await claimed(store)

    const next = [await claimed(store), await claimed(store), await claimed(store)]

    expect(next.map(({ task }) => task.id)).toContain(free)
    expect(next.map(({ task }) => task.request.exportTo).sort()).toEqual([
      'https://free.example/place',
      'tempurl:',
      'tempurl:'
    ])
    expect(await store.claimDue('w')).toBeUndefined()
  })

  it('of hosts do not count workers that are dead', async () => {
    const store = storeWith({ hostConcurrency: 1 })
    await queue({ owner: 'a', count: 2 })
    await claimed(store)
    expect(await store.claimDue('w')).toBeUndefined()

    await database.pool.query(`update tasks set lease_until = now() - interval '1 second' where status = 'processing'`)

    expect((await store.sweep()).due).toHaveLength(2)
    await claimed(store)
    expect(await store.claimDue('w')).toBeUndefined()
  })

  it('of projects hold with eight workers at once, and leave the others their turns', async () => {
    const store = storeWith({ projectConcurrency: 2 })
    await queue({ owner: 'a', count: 50 })
    await queue({ owner: 'b', count: 50 })

    const claims = await Promise.all(Array.from({ length: 8 }, () => store.claimDue('w')))

    const owners = claims.flatMap((claim) => (claim ? [claim.task.owner] : []))
    expect(owners.sort()).toEqual(['a', 'a', 'b', 'b'])
  })
})

describe('the position that is shown', () => {
  const shown = async (store: TaskStore) => {
    const { rows } = await database.pool.query<{ id: string }>(`select id from tasks where status = 'queued'`)
    const tasks = await Promise.all(rows.map(({ id }) => store.get(viewerOf('root', true), taskId(id))))
    return new Map(tasks.flatMap((task) => (task ? [[task.id, task.ahead]] : [])))
  }

  it.each([
    ['equal projects', {}, [5, 2, 3, 1]],
    ['weights', { p0: 3, p2: 2 }, [9, 3, 6, 2]]
  ])('is the place in the order in which they are then claimed, with %s', async (_case, weights, counts) => {
    const store = storeWith({ weights })
    for (const [n, count] of counts.entries()) await queue({ owner: `p${n}`, count: count + 1 })
    for (const _owner of counts) await claimed(store) // each has had a turn: from then on its weight is known
    const [late] = await queue({ owner: 'late' })
    await queue({ owner: 'p1', priority: 'high' })
    const expected = await shown(store)

    const order: [string, number][] = []
    for (let claim = await store.claimDue('w'); claim; claim = await store.claimDue('w'))
      order.push([claim.task.id, order.length])

    expect(order).toHaveLength(expected.size)
    expect([...expected].sort(([, a], [, b]) => Number(a) - Number(b))).toEqual(order)
    expect(expected.get(late ?? taskId(randomUUID()))).toBeLessThan(5)
  })
})
