import { VerifyFailed } from '../../domain/export-errors.ts'
import { CancelRequested, type Claim, LeaseLost } from '../ports.ts'
import { Attempt, type AttemptTimes, WorkerStopping } from './attempt.ts'
import type { Bandwidth } from './bandwidth.ts'
import { type Ending, endingOf } from './endings.ts'
import { type AttemptUses, runAttempt } from './run-attempt.ts'

/** Of a worker that is asked to stop; what remains is removed by the next attempt. */
const STOPPING_REMOVAL_MS = 3_000

export type RunUses = AttemptUses & {
  readonly times: AttemptTimes
  /** Of all exports of this worker together. */
  readonly bandwidth: Bandwidth
  readonly workerId: string
}

/**
 * Answers one ring of the doorbell: takes the task that has been due longest, whichever that is, and runs it to an end, to its
 * next attempt, or until the lease is lost.
 * @param stopping fires when the worker is asked to stop: no task is taken any more, and this one goes back to the queue as soon
 *   as the parts under way are sent; the attempt is not counted
 */
export function runNextExport(uses: RunUses) {
  return async (stopping: AbortSignal): Promise<'idle' | 'ran'> => {
    if (stopping.aborted) return 'idle'
    const claimedAt = uses.clock()
    const claim = await uses.tasks.claimDue(uses.workerId)
    if (!claim) return 'idle'
    using attempt = new Attempt(claim, claimedAt, { ...uses, stopping })
    const { imageId, exportFormat } = claim.task.request
    const about = aboutOf(claim)
    uses.log.info({ ...about, image: imageId, format: exportFormat }, 'export started')
    try {
      const result = await runAttempt(uses, attempt)
      await writeDown(uses, attempt)
      const { takeBack } = attempt
      attempt.takeBack = undefined // from here on the task may have succeeded, whatever we get to hear of it
      await uses.tasks.settleSuccess(claim, result, attempt.meter.look()).catch((error: unknown) => {
        if (error instanceof CancelRequested) attempt.takeBack = takeBack // but for this: it was canceled before
        throw error
      })
      uses.log.info({ ...about, bytes: result.bytes, seconds: result.durationSeconds }, 'export succeeded')
    } catch (error) {
      await settle(uses, attempt, error)
    }
    return 'ran'
  }
}

const aboutOf = ({ task }: Claim) => ({ taskId: task.id, attempt: task.attempts, project: task.owner })

/** What an ended attempt has to say besides its outcome. */
async function writeDown({ tasks }: RunUses, { claim, warnings, cleanup }: Attempt): Promise<void> {
  const { report } = cleanup
  if (warnings.length === 0 && !report) return
  await tasks.note(claim, { warnings, ...(report && { cleanup: report }) })
}

/** Writes down how the attempt ended. When even that fails, the lease runs out and the sweep finds the task. */
async function settle(uses: RunUses, attempt: Attempt, error: unknown): Promise<void> {
  const { claim, phase, cleanup } = attempt
  const cause = causeOf(attempt, error)
  await abandon(attempt, endingOf(cause, claim, phase), cause)
  const ending = endingOf(cause, claim, phase, cleanup.report)
  const about = aboutOf(claim)
  try {
    if (ending.status === 'lost') {
      uses.log.warn({ ...about, err: cause }, 'export lost to another worker')
      return
    }
    await takeBack(uses, attempt, ending, cause)
    await writeDown(uses, attempt)
    if (ending.status === 'again') {
      await attempt.renew().catch(() => {}) // so that the next attempt counts on from here
      await uses.tasks.release(claim, ending)
      if (cause instanceof WorkerStopping) uses.log.info(about, 'export handed back')
      else uses.log.warn({ ...about, err: cause, delayMs: ending.delayMs }, 'export will be tried again')
      return
    }
    await uses.tasks.settleFailure(claim, ending.message, ending.failure)
    const { code } = ending.failure
    if (cause instanceof CancelRequested) uses.log.info({ ...about, code }, 'export canceled')
    else uses.log[code === 'INTERNAL' ? 'error' : 'warn']({ ...about, err: cause, code }, 'export failed')
  } catch (settleError) {
    // It was failing anyway, and was canceled before that could be written.
    if (settleError instanceof CancelRequested) await settle(uses, attempt, settleError)
    else uses.log.error({ ...about, err: cause, settleError }, 'the end of an attempt could not be written')
  }
}

/** What was thrown because the signal fired is only its echo; and a canceled task is canceled, whatever its cleaning up met. */
function causeOf({ claim, signal, cleanup }: Attempt, error: unknown): unknown {
  if (error instanceof LeaseLost || error instanceof CancelRequested) return error
  if (signal.aborted) return signal.reason
  if (!claim.cancel) return error
  cleanup.failed('what earlier attempts may have left', error)
  return new CancelRequested(claim.cancel)
}

/**
 * What was sent of a file stays for the next attempt, where that can go on with it. All else is removed; but of an attempt that
 * has lost its lease by whoever holds it now, if they can know of it: the name of the object is the same, and it may be theirs
 * already.
 */
async function abandon(attempt: Attempt, { status }: Ending, cause: unknown): Promise<void> {
  const { partial, cleanup } = attempt
  const isTheirs = status === 'lost' && !partial?.unrecorded
  const isKept = status === 'again' && partial?.resumable && !isFull(cause)
  if (!partial || isTheirs || isKept) return
  attempt.partial = undefined
  const limitMs = cause instanceof WorkerStopping ? STOPPING_REMOVAL_MS : partial.limitMs
  await cleanup.remove(partial.what, partial.remove, limitMs)
}

/** What is kept on a full disk keeps others waiting that are kept there themselves. */
const isFull = (cause: unknown): boolean => ['ENOSPC', 'EDQUOT', 'STAGING_FULL'].includes(Object(cause).code)

/** A task that failed leaves nothing that can be seen; one that is tried again leaves its object, unless that was bad. */
async function takeBack({ tasks }: RunUses, attempt: Attempt, ending: Ending, cause: unknown): Promise<void> {
  const { claim, cleanup, takeBack: removal } = attempt
  const isBad = cause instanceof VerifyFailed
  if (!removal || (ending.status !== 'failed' && !isBad)) return
  await cleanup.remove('the written object', removal)
  if (isBad) await tasks.note(claim, { uploadIdentity: null }) // its parts may be what is bad
}
