import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import type { Cancel } from '../../../src/domain/task.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const CANCEL: Cancel = { by: 'user', reason: null, at: new Date() }
const CANCELED = { status: 'failure', failure: { code: 'CANCELED_BY_USER', actor: 'user', retriable: true } }

/** A task that is canceled while its destination is asked to do something. */
function canceledAt(moment: string) {
  const place = memoryDestination({
    failing: (call) => {
      if (call === moment) task.row.cancel = CANCEL
    }
  })
  const task = oneTask(place.destination, engine)
  return { ...task, place }
}

/** Runs an attempt that ends with its worker: the row is as it was, with what the attempt had written down. */
async function die(task: ReturnType<typeof oneTask>) {
  const { settleSuccess, settleFailure, release } = task.tasks
  const dead = () => Promise.reject(new Error('the worker is dead'))
  Object.assign(task.tasks, { settleSuccess: dead, settleFailure: dead, release: dead })
  await task.runOnce()
  Object.assign(task.tasks, { settleSuccess, settleFailure, release })
}

describe('a task that is canceled while it runs', () => {
  it('sends nothing when that was before its first byte', async () => {
    const { row, place, runOnce } = canceledAt('open')

    await runOnce()

    expect(row).toMatchObject({ ...CANCELED, cleanup: { state: 'done', removed: ['partial object'] } })
    expect(row.message).toBe('The export was canceled by a user of its project. What had been sent was removed.')
    expect(place.calls).not.toContain('putPart')
  })

  it('does not commit when that was after its last byte', async () => {
    const { row, place, runOnce } = canceledAt('putPart')

    await runOnce()

    expect(row).toMatchObject(CANCELED)
    expect(place.calls).not.toContain('commit')
    expect(place.objects.size).toBe(0)
  })

  it('ends as canceled although it failed by itself before it heard of that', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call !== 'putPart') return
        task.row.cancel = CANCEL
        throw failure('forbidden', 'memory')
      }
    })
    const task = oneTask(place.destination, engine)

    await task.runOnce()

    expect(task.row).toMatchObject({ ...CANCELED, failure: { code: 'CANCELED_BY_USER', phase: 'transferring' } })
  })

  it('says what it had to leave', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'putPart') task.row.cancel = CANCEL
        if (call === 'abort') throw failure('forbidden', 'memory')
      }
    })
    const task = oneTask(place.destination, engine)

    await task.runOnce()

    expect(task.row).toMatchObject({
      ...CANCELED,
      cleanup: { state: 'partial', left: [{ what: 'the partial upload' }] }
    })
    expect(task.row.message).toMatch(/Not all of what had been sent could be removed/)
  })
})

describe('a canceled task whose worker died', () => {
  it('only removes what that one has left', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'putPart') throw new Error('the worker is dead')
      }
    })
    const task = oneTask(place.destination, engine)
    await die(task)
    task.row.cancel = CANCEL
    place.calls.length = 0

    await task.runOnce()

    expect(task.row).toMatchObject({ ...CANCELED, cleanup: { state: 'done', removed: ['what a dead worker left'] } })
    expect(place.calls).toEqual(['discard'])
  })

  it('also removes an object that was complete already', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine)
    await die(task)
    expect(place.objects.size).toBe(1)
    task.row.cancel = CANCEL

    await task.runOnce()

    expect(task.row).toMatchObject({
      ...CANCELED,
      cleanup: { state: 'done', removed: expect.arrayContaining(['object']) }
    })
    expect(place.objects.size).toBe(0)
  })

  it('leaves what is not its own', async () => {
    const place = memoryDestination()
    const other = oneTask(place.destination, engine, { options: { object: { key_template: 'same' } } })
    await other.runOnce()
    const task = oneTask(place.destination, engine, { options: { object: { key_template: 'same' } } })
    Object.assign(task.row, { sent: other.row.result, cancel: CANCEL })

    await task.runOnce()

    expect(task.row).toMatchObject(CANCELED)
    expect(place.objects.size).toBe(1)
  })

  it('ends all the same where nothing can be removed', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'putPart' || call === 'discard') throw failure('unreachable', 'memory')
      }
    })
    const task = oneTask(place.destination, engine)
    await die(task)
    task.row.cancel = CANCEL

    await task.runOnce()

    expect(task.row).toMatchObject({ ...CANCELED, cleanup: { state: 'partial', removed: [] } })
  })
})
