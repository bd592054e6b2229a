import type { Removed } from '../../destinations/destination.ts'
import { isPermanent } from '../../domain/errors.ts'
import type { Sidecar } from '../../domain/export-options.ts'
import { isOurs } from '../checks/collision.ts'
import { type Committed, takingBack } from '../proof/prove.ts'
import { SIDECAR_ENDINGS } from '../proof/sidecar-text.ts'
import { besideIt } from '../requests/key-template.ts'
import { NO_FILE, uploadTarget } from '../upload-target.ts'
import type { Attempt, PartialUpload } from './attempt.ts'
import type { ExportJob } from './export-job.ts'

/** What an attempt before this one has finished sending, if it stands complete at its place: its worker died after that. */
export async function committedBefore(
  { claim, where, destination }: ExportJob,
  signal: AbortSignal
): Promise<Committed | undefined> {
  const { sent, suffix } = claim
  if (!sent) return undefined
  const target = uploadTarget(where, { suffix, replace: true }, { ...NO_FILE, length: sent.bytes })
  const found = await destination.find(target, signal)
  if (found.status !== 'present' || found.length !== sent.bytes || !isOurs(found, target)) return undefined
  return { target, sent, location: target.url.href }
}

/** Leaves nothing of a canceled task: not what was being sent, and not an object that was complete before anybody heard of it. */
export async function removeAll(attempt: Attempt, job: ExportJob): Promise<void> {
  const { cleanup, signal } = attempt
  try {
    const committed = await committedBefore(job, signal)
    if (committed) await cleanup.remove('the written object', (stop) => removeWritten(job, committed, stop))
  } catch (error) {
    signal.throwIfAborted()
    cleanup.failed('the object, if it was complete already', error)
  }
  await removeLeftovers(attempt, job)
}

/** An object that was complete, and what was written beside it by this task. */
async function removeWritten({ claim, destination }: ExportJob, { target }: Committed, stop: AbortSignal) {
  const sidecars = new Set<Sidecar>()
  for (const sidecar of claim.task.request.options.sidecars) {
    const beside = { ...target, url: besideIt(target.url, SIDECAR_ENDINGS[sidecar]) }
    const found = await destination.find(beside, stop)
    if (found.status === 'present' && isOurs(found, beside)) sidecars.add(sidecar)
  }
  return takingBack(destination, target, sidecars)()
}

/** Leaves as `attempt.partial` what was being sent when an earlier attempt ended, where it may be gone on with; or removes it. */
export async function takeOver(attempt: Attempt, job: ExportJob): Promise<void> {
  if (!mayGoOn(job)) await removeLeftovers(attempt, job)
}

/** What stands at the destination of a task that nobody may have heard of; for the next attempt, where there is one. */
export const leftoversOf = (job: ExportJob): PartialUpload => ({
  what: LEFTOVERS,
  async remove(signal) {
    const committed = await committedBefore(job, signal)
    const removed = committed ? await removeWritten(job, committed, signal) : []
    return [...removed, ...(await discard(job, signal))]
  },
  resumable: true
})

/** Whether what an earlier attempt has sent is of use to this one; only the file itself tells for sure. */
export const mayGoOn = ({ claim, destination }: Pick<ExportJob, 'claim' | 'destination'>): boolean =>
  destination.resume !== undefined && !claim.spent && claim.uploadState !== null && claim.uploadIdentity !== null

/** Removes what was taken over, if it still is. @throws what its destination answered: sending more would make us forget it */
export async function removePartial(attempt: Attempt): Promise<void> {
  const { partial, cleanup, signal } = attempt
  if (!partial) return
  attempt.partial = undefined
  try {
    cleanup.add(await partial.remove(signal))
  } catch (error) {
    cleanup.failed(partial.what, error)
    throw error
  }
}

const LEFTOVERS = 'what an earlier attempt had sent'

const discard = ({ claim, destination, where }: ExportJob, signal: AbortSignal): Promise<Removed> =>
  destination.discard(uploadTarget(where, { suffix: claim.suffix, replace: true }, NO_FILE), claim.uploadState, signal)

/** Removes what was being sent when an earlier attempt ended without a word. */
async function removeLeftovers(attempt: Attempt, job: ExportJob): Promise<void> {
  const { claim, cleanup, signal } = attempt
  const isFirst = claim.epoch === 1
  if (isFirst) return
  try {
    cleanup.add(await discard(job, signal))
    attempt.partial = undefined
  } catch (error) {
    signal.throwIfAborted() // whatever ends the attempt removes it, or another worker
    attempt.partial = undefined
    // Where nothing was written down there is most likely nothing, and some keys may not look.
    if (!claim.uploadState && isPermanent(error)) return
    cleanup.failed(LEFTOVERS, error)
    // Sending more would make us forget it; an attempt that may only end the task ends it all the same.
    if (!claim.spent && !claim.cancel) throw error
  }
}
