import { describe, expect, it } from 'vitest'
import { NO_PROGRESS } from '../../../src/domain/task.ts'
import { type Claim, LeaseLost } from '../../../src/export/ports.ts'
import { ALICE, FAILURE, RESULT, taskRows } from './task-rows.ts'

const STATE = { uploadId: 'u-1' }
const BEGUN = { number: 3, sent: null }
const SENT = { number: 1, sent: { number: 1, bytes: 16_000_000, tag: '"e-1"' } }
const UNTAGGED = { number: 2, sent: { number: 2, bytes: 5 * 2 ** 40 } }
const AGAIN = { delayMs: 0, countAttempt: true, message: '' }

describe('parts of an upload', () => {
  const rows = taskRows()

  const sending = async () => {
    await rows.create()
    const claim = await rows.claim()
    await rows.store.startTransfer(claim, NO_PROGRESS, STATE, 'same bytes')
    await rows.store.noteParts(claim, [BEGUN, SENT, UNTAGGED])
    return claim
  }
  const count = async () => (await rows.pool.query('select from upload_parts')).rows.length

  it('are there for the next attempt, with what tells whether it may go on', async () => {
    const claim = await sending()
    await rows.store.release(claim, AGAIN)

    const next = await rows.claim()

    expect(next).toMatchObject({ uploadState: STATE, uploadIdentity: 'same bytes' })
    expect(await rows.store.begunParts(next)).toEqual([SENT, UNTAGGED, BEGUN])
  })

  it('are confirmed, and begun again', async () => {
    const claim = await sending()
    const confirmed = { number: 3, sent: { number: 3, bytes: 7 } }

    await rows.store.noteParts(claim, [confirmed, { number: 2, sent: null }])

    expect(await rows.store.begunParts(claim)).toEqual([SENT, { number: 2, sent: null }, confirmed])
  })

  it('are not written by one that has lost its lease', async () => {
    const claim = await sending()
    await rows.leaseRunsOut(claim.task.id)
    const next = await rows.claim()

    await expect(rows.store.noteParts(claim, [{ number: 9, sent: null }])).rejects.toThrow(LeaseLost)

    expect(await rows.store.begunParts(next)).toHaveLength(3)
  })

  it('stay when the same upload is gone on with, and go when another is begun', async () => {
    const { task } = await sending()
    await rows.leaseRunsOut(task.id)
    const next = await rows.claim()

    await rows.store.startTransfer(next, NO_PROGRESS, STATE, 'same bytes')
    expect(await count()).toBe(3)

    await rows.store.startTransfer(next, NO_PROGRESS, { uploadId: 'u-2' }, 'same bytes')
    expect(await count()).toBe(0)
  })

  it.each([
    ['success', (claim) => rows.store.settleSuccess(claim, RESULT)],
    ['failure', (claim) => rows.store.settleFailure(claim, 'No.', FAILURE)]
  ] as [string, (claim: Claim) => Promise<void>][])('go in the transaction of the %s', async (_case, settle) => {
    await settle(await sending())

    expect(await count()).toBe(0)
  })

  it('go with a task that nobody could end but the sweep', async () => {
    await sending()
    await rows.pool.query(
      `update tasks set lease_until = now() - interval '1 day', deadline = now() - interval '1 day'`
    )

    const { failed } = await rows.store.sweep()

    expect([failed.length, await count()]).toEqual([1, 0])
  })

  it('may not be gone on with once that is said', async () => {
    const claim = await sending()

    await rows.store.note(claim, { uploadIdentity: null })
    await rows.store.release(claim, AGAIN)

    expect(await rows.claim()).toMatchObject({ uploadState: STATE, uploadIdentity: null })
  })

  it('may not be gone on with once another is to be begun in its place, of which the next attempt is told', async () => {
    const claim = await sending()

    await rows.store.note(claim, { uploadState: { others: '[]' }, uploadIdentity: null })
    await rows.store.release(claim, AGAIN)

    expect(await rows.claim()).toMatchObject({ uploadState: { others: '[]' }, uploadIdentity: null })
  })

  it('leave the bytes that were sent twice with the task, from attempt to attempt', async () => {
    const claim = await sending()
    await rows.store.heartbeat(claim, { ...NO_PROGRESS, percent: 40, resent: 1000 })
    await rows.store.release(claim, AGAIN)
    expect((await rows.store.get(ALICE, claim.task.id))?.progress).toMatchObject({ percent: 40, resent: 1000 })

    const next = await rows.claim()

    expect(next.task.progress).toMatchObject({ percent: 40, resent: 1000, sent: 0 })
  })
})
