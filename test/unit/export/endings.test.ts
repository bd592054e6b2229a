import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import { StagingFull } from '../../../src/domain/temp-url-errors.ts'
import { DeadlinePassed, WorkerStopping } from '../../../src/export/attempt/attempt.ts'
import { endingOf } from '../../../src/export/attempt/endings.ts'
import { CancelRequested, LeaseLost } from '../../../src/export/ports.ts'
import { aClaim } from './a-claim.ts'

const errno = (code: string, syscall = 'write') => Object.assign(new Error(code), { code, syscall })
const busy = (retryAfterMs?: number) => failure('throttled', 'memory', { retryAfterMs })
const ended = (cause: unknown, claim = aClaim()) => endingOf(cause, claim, 'transferring')

describe('after an attempt', () => {
  it('that lost its lease, nothing is written', () => {
    expect(ended(new LeaseLost('gone'))).toEqual({ status: 'lost' })
  })

  it('that was handed back, the task is due at once and has its attempt back', () => {
    expect(ended(new WorkerStopping())).toMatchObject({ status: 'again', delayMs: 0, countAttempt: false })
  })

  it.each([
    ['a full disk', errno('ENOSPC')],
    ['a quota', errno('EDQUOT')],
    ['too many open files', errno('EMFILE')],
    ['no memory', errno('ENOMEM', 'spawn')],
    ['no room for a file that waits for its download', new StagingFull()],
    ['a database that is away', errno('ECONNREFUSED', 'connect')],
    ['a database that is being stopped', Object.assign(new Error('shutdown'), { code: '57P01' })],
    ['a database without connections', Object.assign(new Error('too many'), { code: '53300' })],
    ['a lock that others hold', Object.assign(new Error('lock'), { code: '55P03' })],
    ['a transaction that others won', Object.assign(new Error('deadlock'), { code: '40P01' })]
  ])('that met %s, the user pays no attempt, not even the last', (_trouble, cause) => {
    for (const attempts of [1, 3]) {
      expect(ended(cause, aClaim({ attempts }))).toMatchObject({
        status: 'again',
        countAttempt: false,
        delayMs: 15_000
      })
    }
  })

  it('that met a passing trouble elsewhere, another follows after a pause that grows and stays bounded', () => {
    const longest = (attempts: number) =>
      Math.max(
        ...Array.from({ length: 200 }, () => {
          const ending = ended(busy(), aClaim({ attempts, maxAttempts: 100 }))
          return ending.status === 'again' && ending.countAttempt ? ending.delayMs : Number.NaN
        })
      )
    expect(longest(1)).toBeLessThanOrEqual(5_000)
    expect(longest(3)).toBeGreaterThan(5_000)
    expect(longest(3)).toBeLessThanOrEqual(20_000)
    expect(longest(40)).toBeLessThanOrEqual(600_000)
  })

  it('that was asked for a pause, it is kept, up to an hour', () => {
    expect(ended(busy(700_000))).toMatchObject({ status: 'again', throttled: true, delayMs: 700_000 })
    expect(ended(busy(10 ** 12))).toMatchObject({ delayMs: 3_600_000 })
  })

  it('that was the last, the task fails with what it met', () => {
    expect(ended(busy(), aClaim({ attempts: 3 }))).toMatchObject({
      status: 'failed',
      message: expect.stringContaining('Tried 3 times.'),
      failure: { code: 'DEST_THROTTLED', retriable: true, attempts: 3 }
    })
  })

  it('that met what will not pass, it fails at once', () => {
    expect(ended(failure('forbidden', 'memory'))).toMatchObject({
      status: 'failed',
      failure: { code: 'DEST_FORBIDDEN', retriable: false, attempts: 1 }
    })
  })

  it('that met what nobody has thought of, it is tried again, and fails in the end without telling secrets', () => {
    const cause = new Error('password hunter2')
    expect(ended(cause)).toMatchObject({ status: 'again', countAttempt: true, message: '' })
    const last = ended(cause, aClaim({ attempts: 3 }))
    expect(last).toMatchObject({ status: 'failed', failure: { code: 'INTERNAL', actor: 'operator' } })
    expect(JSON.stringify(last)).not.toContain('hunter2')
  })

  it('that its deadline stopped, it fails for that', () => {
    expect(ended(new DeadlinePassed())).toMatchObject({ status: 'failed', failure: { code: 'DEADLINE_EXCEEDED' } })
  })

  it('that only cleans up after workers that died, it fails for that, whatever the cleaning met', () => {
    for (const cause of [new Error('x'), errno('ENOSPC'), busy()])
      expect(ended(cause, aClaim({ attempts: 4, spent: 'attempts' }))).toMatchObject({
        status: 'failed',
        failure: { code: 'WORKER_LOST' }
      })
  })

  it('that was canceled, it fails as canceled', () => {
    const cancel = { by: 'user', reason: null, at: new Date() } as const
    expect(ended(new CancelRequested(cancel))).toMatchObject({
      status: 'failed',
      failure: { code: 'CANCELED_BY_USER' }
    })
  })
})
