import { isDatabaseTrouble } from '../domain/database-trouble.ts'
import { DestinationError } from '../domain/destination-errors.ts'
import { ExportError } from '../domain/errors.ts'
import type { Failure } from '../domain/task.ts'
import { StagingFull } from '../domain/temp-url-errors.ts'
import { DeadlinePassed, WorkerStopping } from './attempt.ts'
import { type Claim, LeaseLost } from './ports.ts'

/** What becomes of a task after an attempt that did not succeed. */
export type Ending =
  | { readonly status: 'lost' }
  | {
      readonly status: 'again'
      readonly delayMs: number
      readonly countAttempt: boolean
      readonly message: string
    }
  | { readonly status: 'failed'; readonly message: string; readonly failure: Failure }

const BACKOFF_BASE_MS = 5_000
const BACKOFF_CAP_MS = 10 * 60_000
const LONGEST_PAUSE_MS = 60 * 60_000
/** Our own disk or database: another worker, or this one later, may do better, and the user's attempts are not spent on it. */
const LOCAL_TROUBLE_DELAY_MS = 15_000
const LOCAL_ERRNO = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM'])

/** Full jitter: a random time below a bound that doubles with every attempt. Milliseconds. */
const backoffMs = (attempts: number, random: () => number = Math.random): number =>
  Math.round(random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.max(0, attempts - 1)))

export function endingOf(cause: unknown, claim: Claim, phase: string): Ending {
  const { attempts } = claim.task
  if (cause instanceof LeaseLost) return { status: 'lost' }
  if (cause instanceof WorkerStopping) return { status: 'again', delayMs: 0, countAttempt: false, message: '' }

  const failed = (code: string, actor: Failure['actor'], retriable: boolean, message: string): Ending => ({
    status: 'failed',
    message,
    failure: { code, actor, retriable, phase, attempts }
  })
  if (cause instanceof DeadlinePassed)
    return failed('DEADLINE_EXCEEDED', 'operator', true, 'The export did not end before its deadline and was stopped.')
  if (claim.spent === 'attempts')
    return failed(
      'WORKER_LOST',
      'operator',
      true,
      `Every one of ${attempts - 1} attempts ended with the loss of its worker.`
    )

  if (cause instanceof StagingFull)
    return { status: 'again', delayMs: LOCAL_TROUBLE_DELAY_MS, countAttempt: false, message: cause.message }
  if (cause instanceof ExportError) {
    const last = attempts >= claim.maxAttempts
    const message = last && !cause.permanent ? `${cause.message} Tried ${attempts} times.` : cause.message
    if (cause.permanent || last) return failed(cause.code, cause.actor, !cause.permanent, message)
    const delayMs = Math.max(backoffMs(attempts), askedPauseMs(cause))
    return { status: 'again', delayMs, countAttempt: true, message: cause.message }
  }
  if (isLocalTrouble(cause))
    return { status: 'again', delayMs: LOCAL_TROUBLE_DELAY_MS, countAttempt: false, message: '' }
  if (attempts < claim.maxAttempts)
    return { status: 'again', delayMs: backoffMs(attempts), countAttempt: true, message: '' }
  return failed(
    'INTERNAL',
    'operator',
    true,
    'The export failed for a reason that only the operator can see in the log.'
  )
}

/** `Retry-After` of the destination, as long as it is one that a task can wait for. */
const askedPauseMs = (cause: ExportError): number =>
  Math.min(LONGEST_PAUSE_MS, (cause instanceof DestinationError && cause.retryAfterMs) || 0)

function isLocalTrouble(error: unknown): boolean {
  if (isDatabaseTrouble(error)) return true
  if (typeof error !== 'object' || error === null || !('code' in error) || typeof error.code !== 'string') return false
  return LOCAL_ERRNO.has(error.code)
}
