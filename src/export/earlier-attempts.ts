import type { Attempt } from './attempt.ts'
import { isOurs } from './collision.ts'
import type { ExportJob } from './export-job.ts'
import type { Committed } from './prove.ts'
import { NO_FILE, uploadTarget } from './upload-target.ts'

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
    if (committed) {
      await cleanup.remove('the written object', (stop) =>
        job.destination.remove(committed.target, stop).then(() => ['object'])
      )
    }
  } catch (error) {
    signal.throwIfAborted()
    cleanup.failed('the object, if it was complete already', error)
  }
  await removeLeftovers(attempt, job)
}

/** Removes what was being sent when an earlier attempt ended without a word. */
export async function removeLeftovers(
  { claim, cleanup, signal }: Attempt,
  { where, destination }: ExportJob
): Promise<void> {
  const { uploadState, suffix, spent } = claim
  if (!uploadState) return
  try {
    cleanup.add(await destination.discard(uploadTarget(where, { suffix, replace: true }, NO_FILE), uploadState, signal))
  } catch (error) {
    if (claim.cancel) signal.throwIfAborted() // another worker can do it
    cleanup.failed('what an earlier attempt had sent', error)
    // Sending more would make us forget it; an attempt that may only end the task ends it all the same.
    if (!spent && !claim.cancel) throw error
  }
}
