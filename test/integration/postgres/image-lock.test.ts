import { expect, it } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { type ImageId, ownerId, type TaskId } from '../../../src/domain/ids.ts'
import { NO_PROGRESS } from '../../../src/domain/task.ts'
import { canceledEnding } from '../../../src/export/attempt/canceled.ts'
import type { Claim, NewTask } from '../../../src/export/ports.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { ALICE, FAILURE, MAX_ATTEMPTS, RESULT, taskRows, viewerOf } from './task-rows.ts'

const rows = taskRows()
const images = () => imageStore(rows.pool)

const of = (imageId: ImageId): Pick<NewTask, 'request'> => ({
  request: {
    imageId,
    exportTo: 'https://example.com/place',
    exportFormat: 'raw',
    formatOptions: {},
    options: NO_OPTIONS
  }
})

it('is never overtaken, in 400 races of a create and a delete, 16 at once', async () => {
  const won = { create: 0, delete: 0, both: 0, neither: 0 }
  const race = async (turn: number) => {
    const id = await rows.anImage()
    const create = () =>
      rows.create(of(id)).then(
        () => true,
        () => false
      )
    const deleted = async () => (await images().delete(ALICE, id)).status === 'deleted'
    // Each of the two is asked first in half of the races.
    const [created, gone] = turn % 2 ? await inOrder(create, deleted) : (await inOrder(deleted, create)).reverse()
    if (created && gone) won.both++
    else if (created) won.create++
    else if (gone) won.delete++
    else won.neither++
  }
  for (let round = 0; round < 25; round++) await Promise.all(Array.from({ length: 16 }, (_, turn) => race(turn)))

  expect(won).toMatchObject({ both: 0, neither: 0 })
  expect(won.create).toBeGreaterThan(0)
  expect(won.delete).toBeGreaterThan(0)
  expect(won.create + won.delete).toBe(400)
  const { rows: tasks } = await rows.pool.query<{ all: number; orphans: number }>(
    `select count(*)::int as all, count(*) filter (where images.id is null)::int as orphans
       from tasks left join images on images.id = tasks.image_id`
  )
  expect(tasks).toEqual([{ all: won.create, orphans: 0 }])
}, 60_000)

const inOrder = (first: () => Promise<boolean>, second: () => Promise<boolean>) => Promise.all([first(), second()])

const passed = (what: 'deadline' | 'lease_until') =>
  rows.pool.query(`update tasks set ${what} = now() - interval '1 second'`)

const runUntilLost = async (attempts: number, uploadState: Record<string, string> | null = null) => {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const claim = await rows.claim()
    if (!claim.cancel) await rows.store.startTransfer(claim, NO_PROGRESS, uploadState)
    await passed('lease_until')
  }
}

async function endCanceled(claim: Claim): Promise<void> {
  if (!claim.cancel) throw new Error('the cancel was not told')
  const { message, failure } = canceledEnding(claim.cancel, { phase: 'preflight', attempts: 1 }, null)
  await rows.store.settleFailure(claim, message, failure)
}

/** Every way in which a task ends: if one is new, it belongs here. */
const ENDINGS: Readonly<Record<string, (id: TaskId) => Promise<unknown>>> = {
  'its attempt succeeds': async () => rows.store.settleSuccess(await rows.claim(), RESULT),
  'its attempt fails': async () => rows.store.settleFailure(await rows.claim(), 'it failed', FAILURE),
  'it is canceled before an attempt': (id) => rows.store.cancel(ALICE, id, null),
  'its attempt hears of a cancel': async (id) => {
    const claim = await rows.claim()
    await rows.store.cancel(ALICE, id, null)
    await endCanceled({ ...claim, ...(await rows.store.heartbeat(claim, null)) })
  },
  'its worker dies, it is canceled, and another has cleaned up': async (id) => {
    await runUntilLost(1)
    await rows.store.cancel(ALICE, id, null)
    await endCanceled(await rows.claim())
  },
  'it is canceled, and those that were to clean up die': async (id) => {
    await runUntilLost(1)
    await rows.store.cancel(ALICE, id, null)
    await runUntilLost(MAX_ATTEMPTS + 1)
    await rows.store.sweep()
  },
  'nobody takes it before its deadline': async () => {
    await passed('deadline')
    await rows.store.sweep()
  },
  'all its workers die, and those that were to clean up': async () => {
    await runUntilLost(MAX_ATTEMPTS + 2, { uploadId: 'u' })
    await rows.store.sweep()
  }
}

it.each(Object.keys(ENDINGS))('is gone when %s', async (ending) => {
  const id = await rows.anImage()
  const task = await rows.create(of(id))
  expect(await images().delete(ALICE, id)).toEqual({ status: 'in_use', tasks: [task], tempUrls: [], others: false })

  await ENDINGS[ending]?.(task)

  expect((await rows.get(task)).finishedAt).toBeInstanceOf(Date)
  expect((await images().delete(ALICE, id)).status).toBe('deleted')
})

it.each(['fails', 'is canceled'])(
  'says what it leaves when a task %s that nobody was there to clean up for',
  async (how) => {
    const task = await rows.create()
    await runUntilLost(1, { uploadId: 'u' })
    if (how === 'is canceled') await rows.store.cancel(ALICE, task, null)
    await runUntilLost(MAX_ATTEMPTS + 1, { uploadId: 'u' })

    await rows.store.sweep()

    expect(await rows.get(task)).toMatchObject({
      status: 'failure',
      cleanup: { state: 'partial', removed: [], left: [{ what: 'what an earlier attempt had sent' }] },
      ...(how === 'is canceled' && { message: expect.stringContaining('see cleanup') })
    })
  }
)

it('does not tell those who own a public image of the tasks of others, and still holds for them', async () => {
  const id = await rows.anImage()
  const [theirs, own] = [await rows.create({ ...of(id), owner: ownerId('bob') }), await rows.create(of(id))]
  const held = await images().delete(ALICE, id)
  const admins = await images().delete(viewerOf('admin', true), id)
  await rows.store.cancel(ALICE, own, null)

  expect(held).toEqual({ status: 'in_use', tasks: [own], tempUrls: [], others: true })
  expect(admins).toEqual({ status: 'in_use', tasks: [theirs, own], tempUrls: [], others: false })
  expect(await images().delete(ALICE, id)).toEqual({ status: 'in_use', tasks: [], tempUrls: [], others: true })
})

it('stays while an attempt is tried again, lost or handed back', async () => {
  const id = await rows.anImage()
  const task = await rows.create(of(id))
  const isLocked = async () => (await images().delete(ALICE, id)).status === 'in_use'

  await rows.store.release(await rows.claim(), { delayMs: 0, countAttempt: true, message: 'later' })
  expect(await isLocked()).toBe(true)
  await runUntilLost(1)
  expect(await isLocked()).toBe(true)
  await rows.store.sweep()
  expect(await isLocked()).toBe(true)
  expect((await rows.get(task)).finishedAt).toBeNull()
})
