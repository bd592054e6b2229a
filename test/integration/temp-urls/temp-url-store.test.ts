import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import type { ImageId, TaskId } from '../../../src/domain/ids.ts'
import { taskId } from '../../../src/domain/ids.ts'
import { type ExportResult, NO_LABELS } from '../../../src/domain/task.ts'
import { type Claim, LeaseLost, type TaskStore } from '../../../src/export/ports.ts'
import type { ImageStore } from '../../../src/library/ports.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { inTransaction } from '../../../src/postgres/pool.ts'
import { createTaskStore } from '../../../src/postgres/task-store.ts'
import { tempUrlStore } from '../../../src/postgres/temp-url-store.ts'
import type { TempUrl, TempUrlStore } from '../../../src/temp-urls/ports.ts'
import { sweepTempUrls, tidyKeptFiles } from '../../../src/temp-urls/sweep-temp-urls.ts'
import { migratedDatabase } from '../../support/database.ts'
import { activeImage, admin, memberOf } from '../library/image-rows.ts'

const HOUR_MS = 3_600_000
const GRACE_MS = 6 * HOUR_MS
const ALICE = memberOf('p1')
const settings = { maxAttempts: 3, deadlineMs: HOUR_MS, leaseMs: 30_000, keepMs: 48 * HOUR_MS, tempUrlMs: 24 * HOUR_MS }
const WHOLE = { client: '192.0.2.1', status: 200, from: 0, to: 5_000_000_000 }
const log = { info() {}, warn() {}, error() {} }

let database: Awaited<ReturnType<typeof migratedDatabase>>
let tasks: TaskStore
let images: ImageStore
let urls: TempUrlStore
beforeAll(async () => {
  database = await migratedDatabase()
  tasks = createTaskStore(database.pool, settings)
  images = imageStore(database.pool)
  urls = tempUrlStore(database.pool)
})
afterAll(() => database.close())
beforeEach(() => database.pool.query('truncate tasks, images, temp_urls, downloads cascade'))

const resultOf = (kind: string, name = 'web-01.qcow2'): ExportResult => ({
  location: `tempurl:///${kind}/${name}`,
  bytes: 5_000_000_000,
  virtualSize: 512,
  sha256: 'ab',
  composite: null,
  parts: 1,
  durationSeconds: 1
})

/** A task of an image, claimed. */
async function claimed(tempUrl = {}, image?: ImageId): Promise<Claim> {
  const imageId = image ?? (await activeImage(images, ALICE)).id
  await tasks.create(
    {
      id: taskId(randomUUID()),
      exportId: randomUUID(),
      objectUrl: 'tempurl:///virtual/x',
      owner: ALICE.owner,
      userId: 'u',
      requestId: 'r',
      request: {
        imageId,
        exportTo: 'tempurl:',
        exportFormat: 'qcow2',
        formatOptions: { cluster_size: 4096 },
        options: { ...NO_OPTIONS, tempUrl }
      },
      labels: NO_LABELS,
      credentials: null
    },
    ALICE
  )
  const claim = await tasks.claimDue('w')
  if (!claim) throw new Error('nothing to claim')
  return claim
}

/** A task that has succeeded. */
async function issued(kind: 'virtual' | 'staged' = 'virtual', tempUrl = {}, image?: ImageId): Promise<TempUrl> {
  const claim = await claimed(tempUrl, image)
  await tasks.settleSuccess(claim, resultOf(kind))
  const found = await find(claim.task.id)
  if (!found) throw new Error('no temporary URL')
  return found
}

const expire = async (id: TaskId, ago = '1 second') => {
  await database.pool.query(`update temp_urls set expires_at = now() - $2::interval where task_id = $1`, [id, ago])
  await database.pool.query(`update tasks set expires_at = now() - $2::interval where id = $1`, [id, ago])
}
const find = async (id: TaskId) => (await urls.find([id]))[0]
const rowsOf = async (table: 'temp_urls' | 'downloads', id: TaskId): Promise<number> =>
  (await database.pool.query(`select from ${table} where task_id = $1`, [id])).rowCount ?? 0

describe('a task that succeeds', () => {
  it('turns into a URL that lives as long as the task', async () => {
    const claim = await claimed({ ttl_seconds: 120, ip_range: '203.0.113.0/24' })

    await tasks.settleSuccess(claim, resultOf('virtual', 'B%C3%BCro%20a.qcow2'))

    const task = await tasks.get(ALICE, claim.task.id)
    const tempUrl = await find(claim.task.id)
    expect(tempUrl).toMatchObject({
      taskId: claim.task.id,
      imageId: claim.task.request.imageId,
      fileName: 'Büro a.qcow2',
      bytes: 5_000_000_000,
      sha256: 'ab',
      virtual: true,
      generation: 1,
      ipRange: '203.0.113.0/24',
      exportFormat: 'qcow2',
      formatOptions: { cluster_size: 4096 },
      source: claim.source
    })
    expect(tempUrl?.expiresAt).toEqual(task?.expiresAt)
    expect((task?.expiresAt?.getTime() ?? 0) - (task?.finishedAt?.getTime() ?? 0)).toBe(120_000)
  })

  it('lives for the usual time when it does not say', async () => {
    const { createdAt, expiresAt } = await issued('staged')
    expect(expiresAt.getTime() - createdAt.getTime()).toBe(24 * HOUR_MS)
  })

  it('leaves no URL when its lease is over, or when it cannot be written', async () => {
    const claim = await claimed()
    const nothing = { ...resultOf('virtual'), bytes: 0 } // refused by the table of URLs alone

    await expect(tasks.settleSuccess({ ...claim, epoch: 0 }, resultOf('virtual'))).rejects.toBeInstanceOf(LeaseLost)
    await expect(tasks.settleSuccess(claim, nothing)).rejects.toThrow('temp_urls')

    expect(await rowsOf('temp_urls', claim.task.id)).toBe(0)
    expect((await tasks.get(ALICE, claim.task.id))?.status).toBe('processing')
  })
})

describe('the image lock', () => {
  it('holds for a virtual URL until it is revoked or over, and never for a kept file', async () => {
    const revoked = await issued()
    const over = await issued()
    const kept = await issued('staged')

    for (const { imageId, taskId } of [revoked, over])
      expect(await images.delete(ALICE, imageId)).toEqual({
        status: 'in_use',
        tasks: [],
        tempUrls: [taskId],
        others: false
      })
    expect(await images.delete(ALICE, kept.imageId)).toMatchObject({ status: 'deleted' })
    await urls.revoke(ALICE, revoked.taskId)
    await expire(over.taskId)

    for (const { imageId } of [revoked, over])
      expect(await images.delete(ALICE, imageId)).toMatchObject({ status: 'deleted' })
  })

  it('can be turned off: then the URL ends with the image', async () => {
    const tempUrl = await issued()

    expect(await imageStore(database.pool, { byTempUrls: false }).delete(ALICE, tempUrl.imageId)).toMatchObject({
      status: 'deleted'
    })

    expect(await find(tempUrl.taskId)).toBeUndefined()
    expect(await urls.extend(ALICE, tempUrl.taskId, { ttlMs: HOUR_MS, ipRange: undefined, revokeEarlier: false })).toBe(
      undefined
    )
  })

  it('has no gap while a task turns into its URL, in 100 races with a delete', async () => {
    const outcomes = new Set<string>()
    const race = async () => {
      const claim = await claimed()
      const [deleted] = await Promise.all([
        images.delete(ALICE, claim.task.request.imageId),
        tasks.settleSuccess(claim, resultOf('virtual'))
      ])
      outcomes.add(deleted.status)
    }
    for (let round = 0; round < 10; round += 1) await Promise.all(Array.from({ length: 10 }, race))

    expect([...outcomes]).toEqual(['in_use'])
  })

  it('is not taken again by an extension that a delete has overtaken', async () => {
    const tempUrl = await issued()
    let extending: ReturnType<TempUrlStore['extend']> | undefined

    await inTransaction(database.pool, async (client) => {
      await client.query('select from images where id = $1 for update', [tempUrl.imageId])
      extending = urls.extend(ALICE, tempUrl.taskId, { ttlMs: HOUR_MS, ipRange: undefined, revokeEarlier: false })
      await untilSomebodyWaits()
      await client.query('delete from images where id = $1', [tempUrl.imageId])
    })

    expect(await extending).toBeUndefined()
  })
})

describe('the owner', () => {
  it('extends it with its task, and never shortens it unless earlier URLs are revoked', async () => {
    const first = await issued('virtual', { ip_range: '192.0.2.0/24' })
    const extend = (ttlMs: number, revokeEarlier: boolean, ipRange?: string | null) =>
      urls.extend(ALICE, first.taskId, { ttlMs, ipRange, revokeEarlier })

    const longer = await extend(48 * HOUR_MS, false)
    const shorter = await extend(HOUR_MS, false, null)
    const revoked = await extend(2 * HOUR_MS, true)

    expect(longer?.tempUrl.expiresAt).toEqual(longer?.until)
    expect(longer?.tempUrl).toMatchObject({ generation: 1, ipRange: '192.0.2.0/24' })
    expect(shorter?.tempUrl).toMatchObject({ expiresAt: longer?.tempUrl.expiresAt, ipRange: null })
    expect(shorter?.until.getTime()).toBeLessThan(shorter?.tempUrl.expiresAt.getTime() ?? 0)
    expect(revoked?.tempUrl).toMatchObject({ expiresAt: revoked?.until, generation: 2 })
    expect((await tasks.get(ALICE, first.taskId))?.expiresAt).toEqual(revoked?.until)
  })

  it('is the only one who can, besides an admin', async () => {
    const { taskId: id } = await issued()
    const change = { ttlMs: HOUR_MS, ipRange: undefined, revokeEarlier: false }
    const eve = memberOf('p2')

    expect(await urls.extend(eve, id, change)).toBeUndefined()
    expect(await urls.revoke(eve, id)).toBe(false)
    expect(await urls.downloads(eve, id)).toBeUndefined()
    expect(await find(id)).toBeDefined()
    expect(await urls.extend(admin, id, change)).toBeDefined()
    expect(await urls.revoke(admin, id)).toBe(true)
  })

  it('sees downloads, the newest first, and what became of them', async () => {
    const tempUrl = await issued()
    const first = await urls.startDownload(tempUrl, WHOLE)
    const second = await urls.startDownload(tempUrl, { ...WHOLE, status: 206, from: 5, to: 9 })
    await urls.endDownload(second ?? '', 4, true)

    expect(await urls.touchDownload(first ?? '', tempUrl, 4_999_999_999)).toBe(true)
    expect(await urls.downloads(ALICE, tempUrl.taskId)).toMatchObject([
      { status: 206, from: 5, to: 9, bytesSent: 4, complete: true, finishedAt: expect.any(Date) },
      { status: 200, from: 0, to: 5_000_000_000, bytesSent: 4_999_999_999, complete: false, finishedAt: null }
    ])
  })

  it('ends downloads under way by revoking, and none begins any more', async () => {
    const tempUrl = await issued()
    const download = await urls.startDownload(tempUrl, WHOLE)
    await urls.revoke(ALICE, tempUrl.taskId)

    expect(await urls.touchDownload(download ?? '', tempUrl, 1)).toBe(false)
    expect(await urls.startDownload(tempUrl, WHOLE)).toBeUndefined()
  })
})

describe('the sweep', () => {
  const sweep = async () => {
    const removed: TaskId[] = []
    const files = { tasks: async () => [], remove: async (id: TaskId) => removed.push(id) > 0 }
    await sweepTempUrls({ store: urls, files, log })
    return removed
  }

  it('removes files of what has expired or was revoked, and forgets what has expired', async () => {
    const [living, expired, revoked] = [await issued(), await issued('staged'), await issued('staged')]
    await urls.startDownload(expired, WHOLE).then((id) => urls.endDownload(id ?? '', 1, false))
    await expire(expired.taskId)
    await urls.revoke(ALICE, revoked.taskId)

    expect((await sweep()).sort()).toEqual([expired.taskId, revoked.taskId].sort())
    expect(await sweep()).toEqual([])

    expect(await rowsOf('temp_urls', expired.taskId)).toBe(0)
    expect(await rowsOf('downloads', expired.taskId)).toBe(0)
    expect(await rowsOf('temp_urls', revoked.taskId)).toBe(1)
    expect(await find(living.taskId)).toBeDefined()
    expect(await urls.downloads(ALICE, revoked.taskId)).toEqual([])
    await expire(revoked.taskId)
    await sweep()
    expect(await rowsOf('temp_urls', revoked.taskId)).toBe(0)
  })

  it('waits for a download, but not for a dead one and not for ever', async () => {
    const tempUrl = await issued('staged')
    const download = await urls.startDownload(tempUrl, WHOLE)
    await expire(tempUrl.taskId)
    await tasks.sweep() // the task itself goes
    expect(await tasks.get(ALICE, tempUrl.taskId)).toBeUndefined()
    expect(await sweep()).toEqual([])

    await database.pool.query(`update downloads set seen_at = now() - interval '121 seconds'`)
    expect(await urls.ended(GRACE_MS)).toEqual([tempUrl.taskId])
    await urls.touchDownload(download ?? '', tempUrl, 1)
    expect(await urls.ended(GRACE_MS)).toEqual([])
    await expire(tempUrl.taskId, '361 minutes')
    expect(await sweep()).toEqual([tempUrl.taskId])
  })

  it('tidies up after exports that nobody came after', async () => {
    const running = (await claimed()).task.id
    const { taskId: kept } = await issued('staged')
    const [failed, unknown] = [await claimed(), taskId(randomUUID())]
    await tasks.settleFailure(failed, 'why', {
      code: 'INTERNAL',
      actor: 'operator',
      retriable: true,
      phase: 'transferring',
      attempts: 1
    })
    const removed: TaskId[] = []
    const all = [running, kept, failed.task.id, unknown]

    await tidyKeptFiles({
      store: urls,
      log,
      files: { tasks: async () => all, remove: async (id) => removed.push(id) > 0 }
    })

    expect(removed.sort()).toEqual([failed.task.id, unknown].sort())
  })
})

async function untilSomebodyWaits(): Promise<void> {
  for (;;) {
    const { rowCount } = await database.pool.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    )
    if (rowCount) return
  }
}
