import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId, type TaskId, taskId } from '../../../src/domain/ids.ts'
import { NO_LABELS, NO_PROGRESS } from '../../../src/domain/task.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import { type Claim, LeaseLost, type NewTask, type TaskStore } from '../../../src/export/ports.ts'
import { createTaskStore } from '../../../src/postgres/task-store.ts'
import { migratedDatabase } from '../../support/database.ts'

const HOUR_MS = 3_600_000
const settings = { maxAttempts: 3, deadlineMs: HOUR_MS, leaseMs: 30_000, keepMs: HOUR_MS, tempUrlMs: HOUR_MS }
const viewerOf = (owner: string, admin = false): Viewer => ({
  owner: ownerId(owner),
  userId: 'u',
  roles: ['member'],
  admin
})
const ALICE = viewerOf('alice')
const failure = { code: 'DEST_FORBIDDEN', actor: 'user', retriable: false, phase: 'transferring', attempts: 1 } as const
const result = {
  location: 's3://b/k',
  bytes: 1,
  virtualSize: 512,
  sha256: 'ab',
  composite: null,
  parts: 1,
  durationSeconds: 1
}

let database: Awaited<ReturnType<typeof migratedDatabase>>
let store: TaskStore
beforeAll(async () => {
  database = await migratedDatabase()
  store = createTaskStore(database.pool, settings)
})
afterAll(() => database.close())
beforeEach(() => database.pool.query('truncate tasks, images cascade'))

async function anImage({ owner = 'alice', status = 'active', visibility = 'private' } = {}) {
  const id = randomUUID()
  const size = status === 'active' ? 1024 : null
  await database.pool.query(
    `insert into images (id, owner, status, disk_format, container_format, visibility, protected, min_disk, min_ram, tags,
                         properties, size, virtual_size, checksum, sha512, upload_id)
     values ($1, $2, $3, 'raw', 'bare', $4, false, 0, 0, '{}', '{}', $5, $5, $6, $6, gen_random_uuid())`,
    [id, owner, status, visibility, size, size && 'aa']
  )
  return imageId(id)
}

function aTask(image: Awaited<ReturnType<typeof anImage>>, owner = 'alice'): NewTask {
  return {
    id: taskId(randomUUID()),
    exportId: randomUUID(),
    objectUrl: 'https://example.com/place/name',
    owner: ownerId(owner),
    userId: 'u',
    requestId: 'req-1',
    request: {
      imageId: image,
      exportTo: 'https://example.com/place',
      exportFormat: 'qcow2',
      formatOptions: { compression: 'zlib' },
      options: { ...NO_OPTIONS, checksums: ['md5'], verify: 'ranges' }
    },
    labels: NO_LABELS,
    credentials: {
      kind: 'basic',
      fingerprint: '0123456789ab',
      sealed: { keyId: 'k1', wrappedKey: Buffer.from('wrapped'), ciphertext: Buffer.from('cipher') }
    }
  }
}

async function created(): Promise<TaskId> {
  const task = aTask(await anImage())
  expect((await store.create(task, ALICE)).status).toBe('created')
  return task.id
}

async function claimed(worker = 'w1'): Promise<Claim> {
  const claim = await store.claimDue(worker)
  if (!claim) throw new Error('nothing was due')
  return claim
}

const leaseRunsOut = (id: TaskId) =>
  database.pool.query(`update tasks set lease_until = now() - interval '1 second' where id = $1`, [id])
async function untilSomebodyWaits(): Promise<void> {
  for (;;) {
    const { rowCount } = await database.pool.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    )
    if (rowCount) return
  }
}
const sealedBytes = async (id: TaskId) =>
  (await database.pool.query('select credentials_ciphertext as bytes from tasks where id = $1', [id])).rows[0].bytes

describe('creating', () => {
  it('stores what was asked and shows it to its project and to admins only', async () => {
    const id = await created()
    expect(await store.get(ALICE, id)).toMatchObject({
      id,
      status: 'queued',
      attempts: 0,
      expiresAt: null,
      message: ''
    })
    expect(await store.get(viewerOf('root', true), id)).toMatchObject({ id })
    expect(await store.get(viewerOf('mallory'), id)).toBeUndefined()
  })

  it.each([
    ['a missing image', {}, undefined, 'image_not_found'],
    ["another project's private image", { owner: 'bob' }, 'own', 'image_not_found'],
    ['a public image of another project', { owner: 'bob', visibility: 'public' }, 'own', 'created'],
    ['an image without data', { status: 'queued' }, 'own', 'image_not_active']
  ])('of %s', async (_case, image, own, status) => {
    const id = own ? await anImage(image) : imageId(randomUUID())
    expect(await store.create(aTask(id), ALICE)).toMatchObject({ status })
  })
})

describe('claiming', () => {
  it('gives a due task to one worker only, however many ask', async () => {
    const ids = [await created(), await created(), await created()]
    const claims = await Promise.all(Array.from({ length: 12 }, (_, i) => store.claimDue(`w${i}`)))
    const taken = claims.filter((claim) => claim !== undefined)
    expect(taken.map(({ task }) => task.id).sort()).toEqual(ids.sort())
    expect(taken[0]).toMatchObject({ epoch: 1, spent: null, task: { status: 'processing', attempts: 1 } })
  })

  it('passes over a task that somebody is changing, and waits for it when there is no other', async () => {
    const [first, second] = [await created(), await created()]
    const held = await database.pool.connect()
    await held.query('begin')
    await held.query('select from tasks where id = $1 for update', [first])

    expect((await claimed()).task.id).toBe(second)
    const waiting = claimed()
    await untilSomebodyWaits()
    await held.query('commit')
    held.release()
    expect((await waiting).task.id).toBe(first)
  })

  it('gives it again, one epoch up, when the lease has run out, and fences the first worker', async () => {
    const id = await created()
    const first = await claimed('w1')
    expect(await store.claimDue('w2')).toBeUndefined()
    await leaseRunsOut(id)
    const second = await claimed('w2')
    expect(second).toMatchObject({ epoch: 2, task: { attempts: 2 } })

    await expect(store.heartbeat(first, null)).rejects.toThrow(LeaseLost)
    await expect(store.heartbeat(first, NO_PROGRESS)).rejects.toThrow(LeaseLost)
    await expect(store.note(first, { warnings: [] })).rejects.toThrow(LeaseLost)
    await expect(store.noteParts(first, [{ number: 1, sent: null }])).rejects.toThrow(LeaseLost)
    await expect(store.startTransfer(first, NO_PROGRESS, null)).rejects.toThrow(LeaseLost)
    await expect(store.settleSuccess(first, result)).rejects.toThrow(LeaseLost)
    await expect(store.settleFailure(first, 'x', failure)).rejects.toThrow(LeaseLost)
    await expect(store.release(first, { delayMs: 0, countAttempt: true, message: '' })).rejects.toThrow(LeaseLost)
    expect(await store.get(ALICE, id)).toMatchObject({ status: 'processing', attempts: 2 })
  })

  it('is no attempt of the task when the lease ran out because the database was away', async () => {
    const id = await created()
    await claimed()
    await database.pool.query(`update tasks set lease_until = pg_postmaster_start_time() - interval '1 millisecond'`)

    expect(await claimed()).toMatchObject({ epoch: 2, task: { id, attempts: 1 } })
    await leaseRunsOut(id)
    expect(await claimed()).toMatchObject({ epoch: 3, task: { id, attempts: 2 } })
  })

  it('waits for the time a release has set, and hands on what has to be removed', async () => {
    const id = await created()
    const claim = await claimed()
    await store.startTransfer(claim, NO_PROGRESS, { uploadId: 'u-1' })
    await store.release(claim, { delayMs: HOUR_MS, countAttempt: false, message: 'why' })
    expect(await store.get(ALICE, id)).toMatchObject({ status: 'queued', attempts: 0, message: 'why', progress: null })
    expect(await store.claimDue('w')).toBeUndefined()

    await database.pool.query('update tasks set next_run_at = now()')
    expect(await claimed()).toMatchObject({ uploadState: { uploadId: 'u-1' }, sealed: { keyId: 'k1' } })
  })
})

describe('time', () => {
  it("is the database's, whatever the clock of this machine says", async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 5 * HOUR_MS })
    try {
      const id = await created()
      const claim = await claimed()
      expect(claim.msLeft).toBeGreaterThan(HOUR_MS - 60_000)
      expect(claim.msLeft).toBeLessThanOrEqual(HOUR_MS)
      const leased = await database.pool.query('select from tasks where lease_until - now() < $1', ['30 s'])
      expect(leased.rowCount).toBe(1)
      expect((await store.sweep()).failed).toEqual([])
      await store.settleSuccess(claim, result)

      const kept = await database.pool.query('select expires_at - finished_at = $1 as kept from tasks', ['1 hour'])
      expect(kept.rows).toEqual([{ kept: true }])
      expect(await store.get(ALICE, id)).toMatchObject({ status: 'success' })
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('settling', () => {
  it('with success sets the result and the expiry and forgets the credentials', async () => {
    const id = await created()
    const claim = await claimed()
    await store.settleSuccess(claim, result)
    expect(await store.get(ALICE, id)).toMatchObject({
      status: 'success',
      result,
      message: '',
      credentials: { kind: 'basic', fingerprint: '0123456789ab', state: 'purged' },
      expiresAt: expect.any(Date)
    })
    expect(await sealedBytes(id)).toBeNull()
    await expect(store.settleFailure(claim, 'late', failure)).rejects.toThrow(LeaseLost)
  })

  it('cannot keep credentials, whoever writes the row', async () => {
    const id = await created()
    await expect(
      database.pool.query(
        `update tasks set status = 'failure', message = 'x', failure = '{}', expires_at = now() where id = $1`,
        [id]
      )
    ).rejects.toThrow('ended_tasks_hold_no_credentials')
  })
})

describe('the sweep', () => {
  it('names what is due and leaves alone what somebody works on', async () => {
    const id = await created()
    expect((await store.sweep()).due).toEqual([{ taskId: id, epoch: 0 }])
    await claimed()
    expect((await store.sweep()).due).toEqual([])
    await leaseRunsOut(id)
    expect((await store.sweep()).due).toEqual([{ taskId: id, epoch: 1 }])
  })

  it('ends a task that has killed a worker with every attempt, once what it left is removed or nobody can', async () => {
    const id = await created()
    for (let attempt = 1; attempt <= settings.maxAttempts; attempt++) {
      const claim = await claimed()
      expect(claim.spent).toBeNull()
      await store.startTransfer(claim, NO_PROGRESS, { uploadId: 'u' })
      expect((await store.sweep()).failed).toEqual([])
      await leaseRunsOut(id)
    }
    expect((await store.sweep()).failed).toEqual([])
    expect(await claimed()).toMatchObject({ spent: 'attempts', uploadState: { uploadId: 'u' } })
    await leaseRunsOut(id)
    await claimed()
    await leaseRunsOut(id)

    expect((await store.sweep()).failed).toEqual([id])
    expect(await store.get(ALICE, id)).toMatchObject({ status: 'failure', failure: { code: 'WORKER_LOST' } })
    expect(await sealedBytes(id)).toBeNull()
  })

  it('has what a last attempt may have begun removed first, though it died before it could write that down', async () => {
    const id = await created()
    for (let attempt = 1; attempt <= settings.maxAttempts; attempt++) {
      await claimed()
      await leaseRunsOut(id)
    }

    expect(await store.sweep()).toMatchObject({ failed: [], due: [{ taskId: id }] })
    expect(await claimed()).toMatchObject({ spent: 'attempts', uploadState: null })
  })

  it('ends a task past its deadline that no worker took', async () => {
    const id = await created()
    await database.pool.query(`update tasks set deadline = now() - interval '1 second'`)
    expect((await store.sweep()).failed).toEqual([id])
    expect(await store.get(ALICE, id)).toMatchObject({
      status: 'failure',
      message: expect.stringContaining('deadline'),
      failure: { code: 'DEADLINE_EXCEEDED', phase: 'queued' }
    })
  })

  it('lets a last attempt clean up behind those of a task whose deadline passed while it waited', async () => {
    const id = await created()
    await store.release(await claimed(), { delayMs: 0, countAttempt: true, message: '' })
    await database.pool.query(`update tasks set deadline = now() - interval '1 second'`)

    expect(await store.sweep()).toMatchObject({ failed: [], due: [{ taskId: id }] })

    expect(await claimed()).toMatchObject({ spent: 'deadline', uploadState: null })
  })

  it('lets it clean up at the deadline, however long the pause is that the attempt before was asked for', async () => {
    const id = await created()
    const claim = await claimed()
    await database.pool.query(`update tasks set deadline = now() + interval '2 seconds'`)
    await store.release(claim, { delayMs: 3_600_000, countAttempt: true, message: '' })

    const { rows } = await database.pool.query(
      'select next_run_at = deadline as at_deadline from tasks where id = $1',
      [id]
    )
    expect(rows).toEqual([{ at_deadline: true }])
  })

  it('takes so many at a time that no backlog keeps it from what is due', async () => {
    await Promise.all(Array.from({ length: 510 }, () => created()))
    await database.pool.query(`update tasks set deadline = now() - interval '1 second'`)
    expect((await store.sweep()).failed).toHaveLength(500)
    expect((await store.sweep()).failed).toHaveLength(10)

    await database.pool.query(`update tasks set expires_at = now() - interval '1 second'`)
    expect((await store.sweep()).expired).toHaveLength(500)
    expect((await store.sweep()).expired).toHaveLength(10)
  })

  it('passes over what somebody holds', async () => {
    const [late, lateToo, expired] = [await created(), await created(), await created()]
    await database.pool.query(`update tasks set deadline = now() - interval '1 second' where id <> $1`, [expired])
    await store.cancel(ALICE, expired, null)
    await database.pool.query(`update tasks set expires_at = now() - interval '1 second' where id = $1`, [expired])
    const holder = await database.pool.connect()
    await holder.query('begin')
    await holder.query('select from tasks where id = any($1) for update', [[late, expired]])

    const swept = await store.sweep()

    await holder.query('rollback')
    holder.release()
    expect(swept).toMatchObject({ failed: [lateToo], expired: [] })
    expect(await store.sweep()).toMatchObject({ failed: [late], expired: [expired] })
  })

  it('forgets tasks that have expired; reading does so at once', async () => {
    const id = await created()
    await store.settleSuccess(await claimed(), result)
    await database.pool.query(`update tasks set expires_at = now() - interval '1 second'`)
    expect(await store.get(ALICE, id)).toBeUndefined()
    expect(await store.list(ALICE, { limit: 5, order: [{ key: 'created_at', direction: 'desc' }] })).toEqual([])
    expect((await store.sweep()).expired).toEqual([id])
    expect((await database.pool.query('select 1 from tasks')).rowCount).toBe(0)
  })
})
