import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { type TaskId, taskId } from '../../../src/domain/ids.ts'
import { TaskWatch } from '../../../src/export/requests/task-watch.ts'
import { silent } from './one-task.ts'

const A = taskId('a')
const B = taskId('b')
const never = new AbortController().signal

function watching({ maxWaiters = 1000, failing = false } = {}) {
  const rows = new Map([
    [A, 1],
    [B, 1]
  ])
  const asked: (readonly TaskId[])[] = []
  const state = { failing, underWay: 0, mostUnderWay: 0 }
  const versions = async (ids: readonly TaskId[]) => {
    asked.push(ids)
    state.mostUnderWay = Math.max(state.mostUnderWay, ++state.underWay)
    await sleep(1)
    state.underWay--
    if (state.failing) throw new Error('the database is away')
    return new Map(rows)
  }
  const watch = new TaskWatch({ tasks: { versions }, log: silent }, { maxWaiters, lookMs: 5 })
  return { watch, rows, asked, state }
}

it('wakes those who wait for the task that has changed, and nobody else', async () => {
  const { watch, rows } = watching()
  const forA = watch.changed(A, 1, 10_000, never)
  const forB = watch.changed(B, 1, 50, never)
  await sleep(10)

  rows.set(A, 2)

  expect(await forA).toBe('some')
  expect(await forB).toBe('none')
})

it('asks one question at a time for all of them, and none when nobody waits', async () => {
  const { watch, rows, asked, state } = watching()
  const waiting = Array.from({ length: 500 }, () => watch.changed(A, 1, 10_000, never))
  await sleep(20)
  rows.set(A, 2)
  await Promise.all(waiting)
  await sleep(20)

  expect(state.mostUnderWay).toBe(1)
  expect(asked.every((ids) => ids.length <= 1)).toBe(true)
  const { length } = asked
  await sleep(30)
  expect(asked.length).toBe(length)
})

it('knows at once what has changed before, or is gone', async () => {
  const { watch, rows } = watching()
  rows.delete(B)

  expect(await watch.changed(A, 0, 10_000, never)).toBe('some')
  expect(await watch.changed(B, 1, 10_000, never)).toBe('some')
})

it('lets go of who has gone, and takes the next one in its place', async () => {
  const { watch } = watching({ maxWaiters: 1 })
  const gone = new AbortController()
  const first = watch.changed(A, 1, 10_000, gone.signal)
  expect(watch.hasRoom).toBe(false)
  expect(await watch.changed(A, 1, 10_000, never)).toBe('none')

  gone.abort()

  expect(await first).toBe('none')
  expect(watch.hasRoom).toBe(true)
})

it('goes on when the database was away', async () => {
  const { watch, rows, state } = watching({ failing: true })
  const waiting = watch.changed(A, 1, 10_000, never)
  await sleep(20)

  state.failing = false
  rows.set(A, 2)

  expect(await waiting).toBe('some')
})

it('wakes everybody when it is closed, and takes nobody any more', async () => {
  const { watch } = watching()
  const waiting = watch.changed(A, 1, 10_000, never)

  watch.close()

  expect(await waiting).toBe('none')
  expect(await watch.changed(A, 1, 10_000, never)).toBe('none')
})
