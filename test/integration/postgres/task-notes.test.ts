import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import type { ScrubReport } from '../../../src/domain/scrub-report.ts'
import { NO_LABELS } from '../../../src/domain/task.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import { type Claim, LeaseLost, type TaskStore } from '../../../src/export/ports.ts'
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
const REPORT: ScrubReport = {
  profile: 'generalize',
  guest: { kind: 'linux', name: 'Debian' },
  path: 'fast',
  steps: [{ id: 'logs', changed: true, files: 2, bytes: 100 }],
  kept: [{ id: 'ssh-user-keys', why: 'the profile does not have it' }],
  secrets: [{ rule: 'netrc', path: '/root/.netrc' }],
  partitions: [{ offset: 0, bytes: 10, fileSystem: 'ext2/3/4', freeBytes: 5 }],
  freedBytes: 5,
  overlayBytes: 1,
  digest: 'ab',
  tools: { e2fsck: '1.47.0' },
  seconds: 0.5
}
const SENT = { bytes: 100, sha256: 'ab', composite: null, parts: 1 }

let database: Awaited<ReturnType<typeof migratedDatabase>>
let store: TaskStore
beforeAll(async () => {
  database = await migratedDatabase()
  store = createTaskStore(database.pool, settings)
})
afterAll(() => database.close())
beforeEach(() => database.pool.query('truncate tasks, images cascade'))

async function anImage({ owner = 'alice', status = 'active', visibility = 'private', properties = {} } = {}) {
  const id = randomUUID()
  const size = status === 'active' ? 1024 : null
  await database.pool.query(
    `insert into images (id, owner, status, name, disk_format, container_format, visibility, protected, min_disk, min_ram,
                         tags, properties, size, virtual_size, checksum, sha512, upload_id)
     values ($1, $2, $3, 'web', 'raw', 'bare', $4, false, 0, 0, '{}', $7, $5, $5, $6, $6, gen_random_uuid())`,
    [id, owner, status, visibility, size, size && 'aa', properties]
  )
  return imageId(id)
}

async function claimed(exportTo = 'https://example.com/place', owner = 'alice'): Promise<Claim> {
  await store.create(
    {
      id: taskId(randomUUID()),
      exportId: randomUUID(),
      objectUrl: `${exportTo}/disk.raw`,
      owner: ownerId(owner),
      userId: 'u',
      requestId: 'req-1',
      request: {
        imageId: await anImage({ owner }),
        exportTo,
        exportFormat: 'raw',
        formatOptions: {},
        options: NO_OPTIONS
      },
      labels: NO_LABELS,
      credentials: null
    },
    viewerOf(owner)
  )
  const claim = await store.claimDue('w')
  if (!claim) throw new Error('nothing was due')
  return claim
}

describe('notes of an attempt', () => {
  it('are there for the next one, and for the user', async () => {
    const claim = await claimed()
    expect(claim).toMatchObject({ objectUrl: 'https://example.com/place/disk.raw', suffix: 0, sent: null })
    const warnings = [{ code: 'W', message: 'Mind.' }]
    const cleanup = { state: 'partial', removed: ['a'], left: [{ what: 'b', why: 'c' }] } as const

    await store.takeName(claim, { suffix: 2, name: 'a'.repeat(64), warnings })
    await store.note(claim, { sent: SENT, cleanup, scrubReport: REPORT })
    await store.release(claim, { delayMs: 0, countAttempt: true, message: '' })

    expect(await store.get(ALICE, claim.task.id)).toMatchObject({ warnings, cleanup, scrubReport: REPORT })
    expect(await store.claimDue('w')).toMatchObject({ suffix: 2, sent: SENT })
  })

  it('can be taken back', async () => {
    const claim = await claimed()
    await store.note(claim, { sent: SENT })

    await store.note(claim, { sent: null })
    await store.release(claim, { delayMs: 0, countAttempt: true, message: '' })

    expect(await store.claimDue('w')).toMatchObject({ sent: null })
  })

  it('are not written by one that has lost its lease', async () => {
    const claim = await claimed()
    await database.pool.query(`update tasks set lease_until = now() - interval '1 second'`)
    await store.claimDue('another')

    await expect(store.note(claim, { sent: SENT })).rejects.toThrow(LeaseLost)
  })

  it('name the object of older rows as they did', async () => {
    const claim = await claimed()
    await database.pool.query('update tasks set object_url = null')
    await store.release(claim, { delayMs: 0, countAttempt: true, message: '' })

    expect((await store.claimDue('w'))?.objectUrl).toBe(`https://example.com/place/${claim.task.exportId}`)
  })
})

describe('the image of an export', () => {
  it.each([
    [
      'of the own project',
      { properties: { os_distro: 'debian' } },
      {
        status: 'active',
        name: 'web',
        facts: { owner: 'alice', visibility: 'private', properties: { os_distro: 'debian' } },
        source: { diskFormat: 'raw', size: 1024, sha512: 'aa' }
      }
    ],
    [
      'without data',
      { status: 'queued' },
      expect.objectContaining({ status: 'queued', name: 'web', source: undefined })
    ],
    ['of another project', { owner: 'bob' }, undefined],
    ['that is public', { owner: 'bob', visibility: 'public' }, expect.objectContaining({ status: 'active' })]
  ])('%s', async (_case, image, expected) => {
    expect(await store.exportableImage(ALICE, await anImage(image))).toEqual(expected)
  })
})

describe('the pace of earlier exports', () => {
  const ended = async (exportTo: string, bytes: number, seconds: number, owner = 'alice', more: object = {}) => {
    const claim = await claimed(exportTo, owner)
    await store.settleSuccess(claim, {
      ...SENT,
      bytes,
      location: exportTo,
      virtualSize: 512,
      durationSeconds: seconds,
      ...more
    })
  }

  it('is that of the own project, to that place, where something was sent', async () => {
    await ended('s3://backup/a', 1000, 10)
    await ended('s3://backup/b', 3000, 10)
    await ended('s3://backup-of-another/b', 9_000_000, 1)
    await ended('s3://backup/c', 9_000_000, 1, 'bob')
    await ended('s3://backup/d', 9_000_000, 0.1, 'alice', { reused: true })

    expect(await store.pace(ownerId('alice'), 's3://backup')).toEqual({ exports: 2, bytesPerSecond: 200 })
  })

  it('is not known where nothing was sent yet', async () => {
    expect(await store.pace(ownerId('alice'), 's3://backup')).toBeUndefined()
  })
})
