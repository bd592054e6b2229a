import { isDatabaseTrouble } from '../../domain/database-trouble.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import { ExportError } from '../../domain/errors.ts'
import { ObjectBusy } from '../../domain/export-errors.ts'
import { hintIn } from '../../domain/hint.ts'
import { ScratchFull } from '../../domain/scrub-errors.ts'
import type { Cleanup, Failure } from '../../domain/task.ts'
import { StagingFull } from '../../domain/temp-url-errors.ts'
import { CancelRequested, type Claim, LeaseLost, type Release } from '../ports.ts'
import { DeadlinePassed, WorkerStopping } from './attempt.ts'
import { canceledEnding } from './canceled.ts'

/** What becomes of a task after an attempt that did not succeed. */
export type Ending =
  | { readonly status: 'lost' }
  | ({ readonly status: 'again' } & Release)
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

/** @param cleanup what became of what was sent */
export function endingOf(cause: unknown, claim: Claim, phase: string, cleanup: Cleanup | null = null): Ending {
  const { attempts } = claim.task
  const again = (delayMs: number, countAttempt: boolean, message = '', throttled = false): Ending => ({
    status: 'again',
    delayMs,
    countAttempt,
    message,
    throttled
  })
  if (cause instanceof LeaseLost) return { status: 'lost' }
  if (cause instanceof CancelRequested)
    return { status: 'failed', ...canceledEnding(cause.cancel, { phase, attempts }, cleanup) }
  if (cause instanceof WorkerStopping) return again(0, false)

  const failed = (code: string, actor: Failure['actor'], retriable: boolean, message: string): Ending => ({
    status: 'failed',
    message,
    failure: {
      code,
      actor,
      retriable,
      phase,
      attempts,
      ...hintOf(code, cause instanceof ExportError ? cause.message : message),
      ...upstreamOf(cause)
    }
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

  if (cause instanceof StagingFull || cause instanceof ScratchFull || cause instanceof ObjectBusy)
    return again(LOCAL_TROUBLE_DELAY_MS, false, cause.message)
  if (cause instanceof ExportError) {
    const last = attempts >= claim.maxAttempts
    const message = last && !cause.permanent ? `${cause.message} Tried ${attempts} times.` : cause.message
    if (cause.permanent || last) return failed(cause.code, cause.actor, !cause.permanent, message)
    const delayMs = Math.max(backoffMs(attempts), askedPauseMs(cause))
    return again(delayMs, true, cause.message, cause.code === 'DEST_THROTTLED')
  }
  if (isLocalTrouble(cause)) return again(LOCAL_TROUBLE_DELAY_MS, false)
  if (attempts < claim.maxAttempts) return again(backoffMs(attempts), true)
  return failed(
    'INTERNAL',
    'operator',
    true,
    'The export failed for a reason that only the operator can see in the log.'
  )
}

const HINTS: Readonly<Record<string, string>> = {
  DEADLINE_EXCEEDED: 'retry the task, with a format that is smaller or a later limits.deadline',
  WORKER_LOST: 'retry the task later, and tell the operator if that does not help',
  INTERNAL: 'retry the task later, and give the operator its id if that does not help'
}

/** Messages of destinations and images say what to do. */
function hintOf(code: string, message: string): { hint?: string } {
  const hint = HINTS[code] ?? hintIn(message)
  return hint === undefined ? {} : { hint }
}

function upstreamOf(cause: unknown): Pick<Failure, 'upstream'> {
  if (!(cause instanceof DestinationError) || cause.host === undefined) return {}
  const { host, upstreamStatus: status } = cause
  return { upstream: { host, ...(status !== undefined && { status }) } }
}

/** `Retry-After` of the destination, as long as it is one that a task can wait for. */
const askedPauseMs = (cause: ExportError): number =>
  Math.min(LONGEST_PAUSE_MS, (cause instanceof DestinationError && cause.retryAfterMs) || 0)

function isLocalTrouble(error: unknown): boolean {
  if (isDatabaseTrouble(error)) return true
  if (typeof error !== 'object' || error === null || !('code' in error) || typeof error.code !== 'string') return false
  return LOCAL_ERRNO.has(error.code)
}
