import { describe, expect, it } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import type { TaskId } from '../../../src/domain/ids.ts'
import { NO_LABELS, NO_PROGRESS, type Priority } from '../../../src/domain/task.ts'
import { RetryUnderWay } from '../../../src/domain/task-errors.ts'
import type { TaskChange } from '../../../src/export/ports.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { SHOWN } from '../../../src/postgres/task-sql.ts'
import { tempUrlStore } from '../../../src/postgres/temp-url-store.ts'
import { ALICE, FAILURE, HOUR_MS, RESULT, taskRows, viewerOf } from './task-rows.ts'

const rows = taskRows()
const change = (id: TaskId, what: TaskChange, viewer = ALICE) => rows.store.change(viewer, id, () => what)
const withPriority = (priority: Priority) => rows.create({ labels: { ...NO_LABELS, priority } })

describe('a change', () => {
  it('is stored, shows at once, and leaves the rest', async () => {
    const id = await rows.create()

    const changed = await change(id, {
      description: 'golden',
      tags: ['a', 'b'],
      metadata: { ticket: 'OPS-1' },
      bandwidthBps: 100_000
    })

    expect(changed).toMatchObject({
      labels: { ...NO_LABELS, description: 'golden', tags: ['a', 'b'], metadata: { ticket: 'OPS-1' } },
      request: { options: { ...NO_OPTIONS, limits: { bandwidth_bps: 100_000 } } }
    })
    expect(await rows.get(id)).toEqual(changed)
    const unlimited = await change(id, { bandwidthBps: null })
    expect(unlimited?.request.options.limits).toEqual({})
  })

  it('is told to the attempt that runs', async () => {
    const id = await rows.create()
    const claim = await rows.claim()

    await change(id, { bandwidthBps: 100_000 })

    expect(await rows.store.heartbeat(claim, null)).toEqual({ cancel: null, bandwidthBps: 100_000 })
  })

  it('is not stored when it is refused, and for others there is nothing to change', async () => {
    const id = await rows.create()
    const before = await rows.get(id)
    const refuse = () => {
      throw new Error('no')
    }

    await expect(rows.store.change(ALICE, id, refuse)).rejects.toThrow('no')
    expect(await change(id, { description: 'mine' }, viewerOf('mallory'))).toBeUndefined()
    expect(await rows.get(id)).toEqual(before)
  })

  it('of the expiry gives a temporary URL as much time, and holds its image on', async () => {
    const id = await rows.create({
      request: {
        imageId: await rows.anImage(),
        exportTo: 'tempurl:',
        exportFormat: 'raw',
        formatOptions: {},
        options: NO_OPTIONS
      }
    })
    const claim = await rows.claim()
    await rows.store.settleSuccess(claim, { ...RESULT, location: 'tempurl:///virtual/disk.raw' })
    const expiresAt = new Date(Math.ceil(Date.now() / 1000) * 1000 + 5 * HOUR_MS)

    const changed = await change(id, { expiresAt, description: 'kept' })

    expect(changed).toMatchObject({ expiresAt, labels: { description: 'kept' } })
    const [url] = await tempUrlStore(rows.pool).find([id])
    expect(url?.expiresAt).toEqual(expiresAt)
    expect((await imageStore(rows.pool).delete(ALICE, claim.task.request.imageId)).status).toBe('in_use')
  })

  it('of the expiry of any other task is of the task alone', async () => {
    const id = await rows.create()
    await rows.store.settleFailure(await rows.claim(), 'it failed', FAILURE)
    const expiresAt = new Date(Date.now() + 5 * HOUR_MS)

    expect(await change(id, { expiresAt })).toMatchObject({ expiresAt })
  })
})

describe('the version of a task', () => {
  const versionOf = async (id: TaskId) => (await rows.store.versions([id])).get(id)

  it('goes up with news, and not with a lease that is only held', async () => {
    const id = await rows.create()
    expect(await versionOf(id)).toBe(1)
    const claim = await rows.claim()
    expect(await versionOf(id)).toBe(2)
    await rows.store.heartbeat(claim, { ...NO_PROGRESS, sent: 5 })
    expect(await versionOf(id)).toBe(3)
    await rows.store.heartbeat(claim, null)
    expect(await versionOf(id)).toBe(3)
    await rows.store.settleFailure(claim, 'it failed', FAILURE)
    expect(await versionOf(id)).toBe(4)
    expect((await rows.get(id)).version).toBe(4)
  })

  it('goes up when the temporary URL is revoked, and is gone with the task', async () => {
    const id = await rows.create({
      request: {
        imageId: await rows.anImage(),
        exportTo: 'tempurl:',
        exportFormat: 'raw',
        formatOptions: {},
        options: NO_OPTIONS
      }
    })
    await rows.store.settleSuccess(await rows.claim(), { ...RESULT, location: 'tempurl:///virtual/disk.raw' })
    const before = Number(await versionOf(id))

    expect(await tempUrlStore(rows.pool).revoke(ALICE, id)).toBe(true)
    expect(await versionOf(id)).toBe(before + 1)

    expect(await rows.store.remove(ALICE, id)).toBe('removed')
    expect(await versionOf(id)).toBeUndefined()
  })
})

describe('the order of tasks', () => {
  it('puts a priority before age, and counts who comes before', async () => {
    const [low, normal, high] = [await withPriority('low'), await withPriority('normal'), await withPriority('high')]
    const ahead = async () => Promise.all([low, normal, high].map(async (id) => (await rows.get(id)).ahead))
    expect(await ahead()).toEqual([2, 1, 0])

    await change(low, { priority: 'high' })

    expect(await ahead()).toEqual([0, 2, 1]) // it is older than the other high one
    expect([await rows.claim(), await rows.claim(), await rows.claim()].map(({ task }) => task.id)).toEqual([
      low,
      high,
      normal
    ])
    expect(await ahead()).toEqual([null, null, null])
  })

  it('starves nobody: half an hour of waiting counts for a priority', async () => {
    const old = await withPriority('low')
    await rows.pool.query(`update tasks set next_run_at = now() - interval '61 minutes' where id = $1`, [old])
    await withPriority('high')

    expect((await rows.claim()).task.id).toBe(old)
  })

  it('is counted up to 1000 from an index alone', async () => {
    await rows.create()
    await rows.pool.query(
      `insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, export_id, source,
                          max_attempts, deadline)
       select gen_random_uuid(), 'alice', 'u', 'r', gen_random_uuid(), 'https://h/p', 'raw', gen_random_uuid(), '{}',
              3, now() + interval '1 hour' from generate_series(1, 3000)`
    )
    const last = await withPriority('low')
    await rows.pool.query('vacuum analyze tasks')

    expect((await rows.get(last)).ahead).toBe(1000)
    const { rows: plan } = await rows.pool.query<{ 'QUERY PLAN': string }>(
      `explain select ${SHOWN} from tasks where id = '${last}'`
    )
    expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toMatch(
      /Index Only Scan using tasks_in_turn on tasks other/
    )
  })
})

describe('a retry', () => {
  const failed = async () => {
    const id = await rows.create()
    await rows.store.settleFailure(await rows.claim(), 'it failed', FAILURE)
    return id
  }

  it('is one at a time, however many ask at once', async () => {
    const id = await failed()

    const asked = await Promise.allSettled(Array.from({ length: 8 }, () => rows.create({ retryOf: id })))

    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const one of asked) if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(RetryUnderWay)
    const again = await rows.claim()
    expect(again.task.retryOf).toBe(id)
    await rows.store.settleFailure(again, 'it failed again', FAILURE)
    expect((await rows.get(await rows.create({ retryOf: id }))).retryOf).toBe(id)
  })
})

describe('the percentage', () => {
  it('is kept for the next attempt, whether this one was handed back or lost', async () => {
    const id = await rows.create()
    const first = await rows.claim()
    expect(first.task.progress).toBeNull()
    await rows.store.heartbeat(first, { ...NO_PROGRESS, sent: 70, percent: 70 })
    await rows.store.release(first, { delayMs: 0, countAttempt: true, message: 'slow down', throttled: true })
    expect((await rows.get(id)).progress).toMatchObject({ percent: 70, sent: 0, throttled: true })

    const second = await rows.claim()
    expect(second.task.progress).toMatchObject({ percent: 70, sent: 0, throttled: false })
    await rows.store.heartbeat(second, { ...NO_PROGRESS, sent: 5, percent: 71 })
    await rows.leaseRunsOut(id)
    expect((await rows.claim()).task.progress?.percent).toBe(71)
  })
})

describe('removing', () => {
  it('forgets an ended task and voids its URL; others have to end first', async () => {
    const id = await rows.create()
    expect(await rows.store.remove(ALICE, id)).toBe('under_way')
    expect(await rows.store.remove(viewerOf('mallory'), id)).toBe('not_found')
    await rows.store.cancel(ALICE, id, null)

    expect(await rows.store.remove(ALICE, id)).toBe('removed')

    expect(await rows.store.get(ALICE, id)).toBeUndefined()
    expect(await rows.store.remove(ALICE, id)).toBe('not_found')
  })
})
