import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { TaskId } from '../../../src/domain/ids.ts'
import { NO_PROGRESS } from '../../../src/domain/task.ts'
import { canceledEnding } from '../../../src/export/attempt/canceled.ts'
import { CancelRequested, type Claim, LeaseLost } from '../../../src/export/ports.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { ALICE, FAILURE, MAX_ATTEMPTS, RESULT, SENT, taskRows, viewerOf } from './task-rows.ts'

const rows = taskRows()
const cancel = (id: TaskId, viewer = ALICE) => rows.store.cancel(viewer, id, null)

/** The failure that an attempt writes which has heard of the cancel. */
function canceled({ task }: Claim) {
  const { message, failure } = canceledEnding(
    { by: 'user', reason: null, at: new Date() },
    { phase: 'transferring', attempts: task.attempts },
    null
  )
  return [message, failure] as const
}

describe('canceling a task that waits', () => {
  it('ends it at once: credentials wiped, image free, and a message for people', async () => {
    const id = await rows.create()
    const { request } = await rows.get(id)

    const outcome = await rows.store.cancel(ALICE, id, 'the wrong image')

    expect(outcome).toMatchObject({
      status: 'accepted',
      task: {
        status: 'failure',
        message: 'The export was canceled by a user of its project: the wrong image.',
        failure: { code: 'CANCELED_BY_USER', actor: 'user', phase: 'queued', attempts: 0 },
        credentials: { state: 'purged' },
        expiresAt: expect.any(Date)
      }
    })
    expect(outcome).not.toHaveProperty('bell')
    expect(await rows.get(id)).toMatchObject({ status: 'failure', finishedAt: expect.any(Date) })
    expect(await rows.store.claimDue('w')).toBeUndefined()
    expect((await imageStore(rows.pool).delete(ALICE, request.imageId)).status).toBe('deleted')
  })

  it.each([
    ['an admin of another project', viewerOf('root', true), 'CANCELED_BY_OPERATOR', 'operator'],
    ['an admin of its own', viewerOf('alice', true), 'CANCELED_BY_USER', 'user']
  ])('by %s is %s', async (_who, viewer, code, actor) => {
    const id = await rows.create()

    await cancel(id, viewer)

    expect((await rows.get(id)).failure).toMatchObject({ code, actor })
  })

  it('twice changes nothing', async () => {
    const id = await rows.create()
    await cancel(id)
    const first = await rows.get(id)

    expect(await rows.store.cancel(ALICE, id, 'again')).toMatchObject({ status: 'accepted', task: { id } })
    expect(await rows.get(id)).toEqual(first)
  })

  it('is not found for others, and too late for what has ended otherwise', async () => {
    const id = await rows.create()
    expect(await cancel(id, viewerOf('mallory'))).toEqual({ status: 'not_found' })

    await rows.store.settleFailure(await rows.claim(), 'it failed', FAILURE)

    expect(await cancel(id)).toEqual({ status: 'finished' })
  })
})

describe('canceling a task that runs', () => {
  it('is told to its attempt, which may do nothing more but end it', async () => {
    const id = await rows.create()
    const claim = await rows.claim()
    expect((await rows.store.heartbeat(claim, null)).cancel).toBeNull()

    expect(await rows.store.cancel(ALICE, id, 'why')).toMatchObject({
      status: 'accepted',
      task: { status: 'processing' }
    })

    expect((await rows.store.heartbeat(claim, null)).cancel).toMatchObject({ by: 'user', reason: 'why' })
    await expect(rows.store.startTransfer(claim, NO_PROGRESS, null)).rejects.toThrow(CancelRequested)
    await expect(rows.store.note(claim, { sent: SENT })).rejects.toThrow(CancelRequested)
    await expect(rows.store.settleSuccess(claim, RESULT)).rejects.toThrow(CancelRequested)
    await expect(rows.store.settleFailure(claim, 'it failed', FAILURE)).rejects.toThrow(CancelRequested)
    await rows.store.settleFailure(claim, ...canceled(claim))
    expect(await rows.get(id)).toMatchObject({ status: 'failure', failure: { code: 'CANCELED_BY_USER' } })
  })

  it('is refused from the step to its commit on, and possible again when the commit has failed', async () => {
    const id = await rows.create()
    const claim = await rows.claim()
    await rows.store.startTransfer(claim, NO_PROGRESS, { uploadId: 'u' })
    await rows.store.note(claim, { sent: SENT })
    expect(await cancel(id)).toEqual({ status: 'committed' })
    await rows.leaseRunsOut(id)
    expect(await cancel(id)).toEqual({ status: 'committed' }) // its worker may be dead, or only slow

    const second = await rows.claim()
    await rows.store.note(second, { sent: null })

    expect(await cancel(id)).toMatchObject({ status: 'accepted' })
    await expect(rows.store.settleSuccess(claim, RESULT)).rejects.toThrow(LeaseLost)
    await expect(rows.store.settleSuccess(second, RESULT)).rejects.toThrow(CancelRequested)
  })

  it('cannot succeed, whoever writes the row', async () => {
    const id = await rows.create()
    await rows.claim()
    await cancel(id)

    const succeed = rows.pool.query(
      `update tasks set status = 'success', result = '{}', expires_at = now(), credentials_key_id = null,
              credentials_wrapped_key = null, credentials_ciphertext = null where id = $1`,
      [id]
    )

    await expect(succeed).rejects.toThrow('canceled_tasks_do_not_succeed')
  })
})

describe('a canceled task whose attempt is gone', () => {
  /** It waits to be tried again, and has left an upload. */
  const withLeftovers = async () => {
    const id = await rows.create()
    const claim = await rows.claim()
    await rows.store.startTransfer(claim, NO_PROGRESS, { uploadId: 'u' })
    return { id, claim }
  }

  it('is given out at once to be cleaned up, when it waited to be tried again', async () => {
    const { id, claim } = await withLeftovers()
    await rows.store.release(claim, { delayMs: 600_000, countAttempt: true, message: 'throttled' })

    const outcome = await cancel(id)

    expect(outcome).toMatchObject({ status: 'accepted', bell: { taskId: id }, task: { status: 'queued' } })
    expect(await rows.claim()).toMatchObject({ cancel: { by: 'user' }, uploadState: { uploadId: 'u' }, sealed: {} })
  })

  it('is given out to be cleaned up, when its worker died or handed it back', async () => {
    const { id, claim } = await withLeftovers()
    await cancel(id)
    await rows.store.release(claim, { delayMs: 600_000, countAttempt: false, message: '' })
    const handedBack = await rows.claim()
    expect(handedBack).toMatchObject({ cancel: { by: 'user' } })
    await rows.leaseRunsOut(id)
    expect(await rows.claim()).toMatchObject({ cancel: { by: 'user' }, uploadState: { uploadId: 'u' } })
  })

  it.each([
    ['canceled while it waits', false],
    ['canceled before its attempt gave it back', true]
  ])('is given out although its attempt has written nothing down, %s', async (_when, early) => {
    const id = await rows.create()
    const claim = await rows.claim()
    if (early) await cancel(id)
    await rows.store.release(claim, { delayMs: 600_000, countAttempt: true, message: '' })
    if (!early) expect(await cancel(id)).toMatchObject({ bell: { taskId: id }, task: { status: 'queued' } })

    expect((await rows.store.sweep()).failed).toEqual([])

    expect(await rows.claim()).toMatchObject({ task: { id }, cancel: { by: 'user' }, uploadState: null })
  })

  it('is given out although nothing was written down, as its worker may have died just before that', async () => {
    const id = await rows.create()
    await rows.claim()
    await cancel(id)
    await rows.leaseRunsOut(id)

    expect((await rows.store.sweep()).failed).toEqual([])

    expect(await rows.claim()).toMatchObject({ task: { id }, cancel: { by: 'user' }, uploadState: null, sealed: {} })
  })

  it('is ended by the sweep as canceled when every worker has died over it', async () => {
    const { id } = await withLeftovers()
    await cancel(id)
    for (let attempt = 2; attempt <= MAX_ATTEMPTS + 2; attempt++) {
      await rows.leaseRunsOut(id)
      expect((await rows.store.sweep()).failed).toEqual([])
      await rows.claim()
    }
    await rows.leaseRunsOut(id)

    expect((await rows.store.sweep()).failed).toEqual([id])
    expect((await rows.get(id)).failure?.code).toBe('CANCELED_BY_USER')
  })
})

/** What became of a task for its user, against what the cancel was told. */
async function outcomes(
  begin: (claim: Claim) => Promise<unknown>,
  end: (claim: Claim) => Promise<void>,
  pairs: number
) {
  const seen: string[] = []
  for (let pair = 0; pair < pairs; pair++) {
    const id = await rows.create()
    const claim = await rows.claim()
    await begin(claim)
    const [asked] = await Promise.all([cancel(id), sleep(pair % 4).then(() => end(claim))]) // either may be the first
    const { status, failure } = await rows.get(id)
    seen.push(`${asked.status}: ${failure?.code ?? status}`)
  }
  return [...new Set(seen)].sort()
}

/** An attempt that ends as canceled when it is told so, as run-export.ts does. */
const orCanceled = (claim: Claim, work: () => Promise<void>) =>
  work().catch(async (error: unknown) => {
    if (!(error instanceof CancelRequested)) throw error
    await rows.store.settleFailure(claim, ...canceled(claim))
  })

describe('a cancel and the end of an attempt, at once', () => {
  it('have exactly one outcome at the commit, 200 times', async () => {
    let objects = 0
    let successes = 0
    const seen = await outcomes(
      (claim) => rows.store.startTransfer(claim, NO_PROGRESS, null),
      (claim) =>
        orCanceled(claim, async () => {
          await rows.store.note(claim, { sent: SENT })
          objects++ // here the destination commits
          await rows.store.settleSuccess(claim, RESULT)
          successes++
        }),
      200
    )

    const possible = ['accepted: CANCELED_BY_USER', 'committed: success', 'finished: success']
    expect(seen.filter((outcome) => !possible.includes(outcome))).toEqual([])
    expect(seen).toContain('accepted: CANCELED_BY_USER')
    expect(seen.length).toBeGreaterThan(1)
    expect(objects).toBe(successes)
  }, 60_000)

  it('have exactly one outcome where nothing had to be sent', async () => {
    const seen = await outcomes(
      async () => {},
      (claim) => orCanceled(claim, () => rows.store.settleSuccess(claim, RESULT)),
      50
    )

    expect(['accepted: CANCELED_BY_USER', 'finished: success']).toEqual(expect.arrayContaining(seen))
  })

  it('have exactly one outcome where it fails anyway', async () => {
    const seen = await outcomes(
      async () => {},
      (claim) => orCanceled(claim, () => rows.store.settleFailure(claim, 'it failed', FAILURE)),
      50
    )

    expect(['accepted: CANCELED_BY_USER', 'finished: DEST_FORBIDDEN']).toEqual(expect.arrayContaining(seen))
  })

  it('leave a task that was handed back to be cleaned up', async () => {
    for (let pair = 0; pair < 50; pair++) {
      const id = await rows.create()
      const claim = await rows.claim()
      await rows.store.startTransfer(claim, NO_PROGRESS, { uploadId: 'u' })
      const handBack = () => rows.store.release(claim, { delayMs: 600_000, countAttempt: true, message: 'why' })

      const [asked] = await Promise.all([cancel(id), sleep(pair % 4).then(handBack)])

      expect(asked.status).toBe('accepted')
      const cleaning = await rows.claim()
      expect(cleaning).toMatchObject({ task: { id }, cancel: { by: 'user' }, uploadState: { uploadId: 'u' } })
      await rows.store.settleFailure(cleaning, ...canceled(cleaning))
    }
  })
})
