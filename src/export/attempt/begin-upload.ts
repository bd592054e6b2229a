import type { SentPart, Upload, UploadTarget } from '../../destinations/destination.ts'
import { isPermanent } from '../../domain/errors.ts'
import type { BegunPart, Log, TaskStore } from '../ports.ts'
import type { Attempt } from './attempt.ts'
import { mayGoOn, removePartial } from './earlier-attempts.ts'
import type { ExportJob } from './export-job.ts'

/** An upload, and what an earlier attempt has done for it: parts that need not be sent again, and all that it had begun. */
export type BegunUpload = {
  readonly upload: Upload
  readonly kept: readonly SentPart[]
  readonly begun: ReadonlySet<number>
}

/**
 * Goes on with the upload of an earlier attempt, where it was of the same bytes and the destination still has it; otherwise
 * removes that and opens another. Either is `attempt.partial` from then on.
 * @param identity of the file that is to be sent
 */
export async function beginUpload(
  uses: { readonly tasks: Pick<TaskStore, 'begunParts' | 'note'>; readonly log: Log },
  attempt: Attempt,
  job: ExportJob,
  target: UploadTarget,
  identity: string
): Promise<BegunUpload> {
  const { claim, destination } = job
  const earlier = claim.uploadState ? await uses.tasks.begunParts(claim) : []
  const begun = new Set(earlier.map(({ number }) => number))
  const resumed = await resume(uses.log, attempt, job, target, identity, earlier)
  const { upload, kept } = resumed ?? (await openAnew())
  const isNew = resumed === undefined
  // Where there is no state, what it would remove is what stands at the object's name.
  const unrecorded = isNew && upload.state !== null
  attempt.partial = { what: 'the partial upload', remove: () => upload.abort(), resumable: !isNew, unrecorded }
  return { upload, kept, begun }

  async function openAnew() {
    await removePartial(attempt)
    const uploadState = await destination.intend?.(target, attempt.signal)
    if (uploadState) await uses.tasks.note(claim, { uploadState, uploadIdentity: null })
    // It may be begun, and its answer come to nobody. The next attempt looks for that itself; where there is none, this one does.
    const remove = (signal: AbortSignal) => destination.discard(target, uploadState ?? null, signal)
    attempt.partial = { what: 'the partial upload', remove, resumable: true }
    const upload = await destination.open(target, attempt.signal).catch((error: unknown) => {
      if (isPermanent(error)) attempt.partial = undefined // it was refused
      throw error
    })
    return { upload, kept: [] }
  }
}

async function resume(
  log: Log,
  { signal }: Attempt,
  job: ExportJob,
  target: UploadTarget,
  identity: string,
  earlier: readonly BegunPart[]
) {
  const { claim, destination } = job
  const { task, uploadState, uploadIdentity } = claim
  if (!mayGoOn(job) || !uploadState || uploadIdentity !== identity) return undefined
  const sent = earlier.flatMap((part) => part.sent ?? [])
  const about = { taskId: task.id, attempt: task.attempts }
  try {
    const resumed = await destination.resume?.(target, uploadState, sent, signal)
    if (resumed) log.info({ ...about, parts: sent.length, kept: resumed.kept.length }, 'upload is gone on with')
    return resumed
  } catch (err) {
    signal.throwIfAborted()
    // What may pass is worth waiting for. What will not, such as keys that may not list, must not stop a new upload.
    if (!isPermanent(err)) throw err
    log.warn({ ...about, err }, 'upload cannot be gone on with')
    return undefined
  }
}
