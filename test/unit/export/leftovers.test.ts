import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import type { Cancel } from '../../../src/domain/task.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const CANCEL: Cancel = { by: 'user', reason: null, at: new Date() }
const CANCELED = { status: 'failure', failure: { code: 'CANCELED_BY_USER' } }

describe('what earlier attempts have left', () => {
  it('is told of when the last attempt cannot even look at the destination', async () => {
    let down = false
    const place = memoryDestination({
      resumable: true,
      failing: (call) => {
        if (call === 'commit') down = true
        if (down) throw failure('serverError', 'memory')
      }
    })
    const task = oneTask(place.destination, engine)

    await task.runOnce()
    await task.runOnce()
    await task.runOnce()

    expect(place.unfinished.size).toBe(1)
    expect(task.row).toMatchObject({
      status: 'failure',
      cleanup: { state: 'partial', left: [{ what: 'what an earlier attempt had sent' }] }
    })
  })

  it('is removed when the last attempt could not look at first', async () => {
    let looks = 0
    const place = memoryDestination({
      resumable: true,
      failing: (call) => {
        if (call === 'find' && task.row.attempts === 3) looks += 1
        if (call === 'commit' || looks === 1) throw failure('serverError', 'memory')
      }
    })
    const task = oneTask(place.destination, engine)

    await task.runOnce()
    await task.runOnce()
    expect(place.unfinished.size).toBe(1)
    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'failure', cleanup: { state: 'done' } })
    expect(place.unfinished.size).toBe(0)
  })
})

describe('a cancel that is found when the success is written down', () => {
  it('takes back what was sent, with what stands beside it', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine, { options: { sidecars: ['sha256', 'manifest'] } })
    const { settleSuccess } = task.tasks
    task.tasks.settleSuccess = (...told) => {
      expect(place.objects.size).toBe(3)
      task.row.cancel = CANCEL
      return settleSuccess(...told)
    }

    await task.runOnce()

    expect(task.row).toMatchObject({ ...CANCELED, cleanup: { state: 'done' } })
    expect([...place.objects.keys()]).toEqual([])
  })
})

it('a canceled task whose object was complete leaves nothing beside it', async () => {
  const place = memoryDestination()
  const task = oneTask(place.destination, engine, { options: { sidecars: ['sha256', 'manifest'] } })
  const { settleSuccess } = task.tasks
  task.tasks.settleSuccess = () => Promise.reject(Object.assign(new Error('too long'), { code: '57014' }))
  await task.runOnce()
  expect([task.row.status, place.objects.size]).toEqual(['queued', 3])
  task.tasks.settleSuccess = settleSuccess
  task.row.cancel = CANCEL

  await task.runOnce()

  expect(task.row).toMatchObject({ ...CANCELED, cleanup: { state: 'done' } })
  expect([...place.objects.keys()]).toEqual([])
})
