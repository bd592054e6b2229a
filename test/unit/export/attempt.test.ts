import { afterEach, describe, expect, it } from 'vitest'
import { Attempt, DeadlinePassed, WorkerStopping } from '../../../src/export/attempt/attempt.ts'
import { Bandwidth } from '../../../src/export/attempt/bandwidth.ts'
import { CancelRequested, type Claim, LeaseLost, type Orders, type TaskStore } from '../../../src/export/ports.ts'
import { aClaim } from './a-claim.ts'
import { silent } from './one-task.ts'

const LEASE_MS = 60
const NO_ORDERS: Orders = { cancel: null, bandwidthBps: undefined }
let open: Attempt | undefined
afterEach(() => open?.[Symbol.dispose]())

/** An attempt whose heartbeats are answered by the test, and whose clock it sets. */
function anAttempt(heartbeat: () => Promise<Orders>, claim: Claim = aClaim()) {
  const clock = { now: 0 }
  const stopping = new AbortController()
  const attempt = new Attempt(claim, 0, {
    tasks: { heartbeat } as Partial<TaskStore> as TaskStore,
    times: { leaseMs: LEASE_MS, handOverMs: 10 },
    clock: () => clock.now,
    log: silent,
    bandwidth: new Bandwidth(undefined),
    stopping: stopping.signal
  })
  open = attempt
  const stopped = new Promise<unknown>((resolve) => {
    attempt.signal.addEventListener('abort', () => resolve(attempt.signal.reason))
  })
  return { attempt, clock, stopped, stop: () => stopping.abort(new WorkerStopping()) }
}

describe('the stop switch of an attempt', () => {
  it('is fired by a lease that another worker has', async () => {
    const { stopped } = anAttempt(() => Promise.reject(new LeaseLost('the epoch is another')))
    expect(await stopped).toBeInstanceOf(LeaseLost)
  })

  it.each([
    ['does not answer', () => new Promise<Orders>(() => {})],
    ['is away', () => Promise.reject(new Error('connection refused'))]
  ])('is fired by its own clock when the lease is over and the database %s', async (_case, heartbeat) => {
    const { clock, stopped, attempt } = anAttempt(heartbeat)
    clock.now = LEASE_MS
    await new Promise((resolve) => setTimeout(resolve, LEASE_MS))
    expect(attempt.signal.aborted).toBe(false) // as long as the lease is certain

    clock.now = LEASE_MS + 1

    expect(await stopped).toBeInstanceOf(LeaseLost)
  })

  it('is not fired by time that has passed while the lease was renewed, and counts from when that was asked', async () => {
    let asked = 0
    const { clock, attempt, stopped } = anAttempt(async () => {
      asked++
      return NO_ORDERS
    })
    clock.now = LEASE_MS - 1
    const before = asked
    await expect.poll(() => asked).toBeGreaterThan(before + 1)
    clock.now = LEASE_MS + 10
    const then = asked
    await expect.poll(() => asked).toBeGreaterThan(then + 1)
    expect(attempt.signal.aborted).toBe(false)

    clock.now += LEASE_MS + 1 // a process that was stopped for so long
    expect(await stopped).toBeInstanceOf(LeaseLost)
  })

  it('is fired by a cancel that a heartbeat brings', async () => {
    const cancel = { by: 'user', reason: null, at: new Date() } as const
    const { stopped } = anAttempt(async () => ({ ...NO_ORDERS, cancel }))
    expect(await stopped).toBeInstanceOf(CancelRequested)
  })

  it('is fired by the deadline, by a clock that nobody can set', async () => {
    const { stopped } = anAttempt(async () => NO_ORDERS, aClaim({ msLeft: 20 }))
    expect(await stopped).toBeInstanceOf(DeadlinePassed)
  })

  it('is fired by the stop of its worker', async () => {
    const { stopped, stop } = anAttempt(async () => NO_ORDERS)
    stop()
    expect(await stopped).toBeInstanceOf(WorkerStopping)
  })
})
