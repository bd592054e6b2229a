import { isResumable } from '../../destinations/recorded-parts.ts'
import type { Disk } from '../../disks/disk.ts'
import type { SentFile, Task } from '../../domain/task.ts'
import type { Engine } from '../../pipeline/engine.ts'
import { withKeptParts } from '../../pipeline/kept-parts.ts'
import { Retries, type RetryRules } from '../../pipeline/retries.ts'
import { prepareShipment } from '../../pipeline/shipment.ts'
import type { Wants } from '../../pipeline/wants.ts'
import type { Placement } from '../checks/collision.ts'
import type { Log, TaskStore } from '../ports.ts'
import type { Committed } from '../proof/prove.ts'
import { uploadTarget } from '../upload-target.ts'
import type { Attempt } from './attempt.ts'
import { beginUpload } from './begin-upload.ts'
import type { ExportJob } from './export-job.ts'
import type { FilePlan } from './file-plan.ts'
import { PartNotes } from './part-notes.ts'
import { uploadIdentity } from './upload-identity.ts'

export type SendUses = {
  readonly tasks: TaskStore
  readonly engine: Engine
  readonly retryRules: RetryRules
  readonly log: Log
}

/** The disk as it is to leave, and `digest` of what was changed on it; undefined where nothing was. */
type Source = { readonly disk: Disk; readonly plan: FilePlan; readonly digest?: string | undefined }

/** Makes the file, sends what the destination does not have of it yet, and lets it be seen at its place. */
export async function sendFile(
  uses: SendUses,
  attempt: Attempt,
  job: ExportJob,
  source: Source,
  { suffix, replace }: Extract<Placement, { kind: 'write' }>
): Promise<Committed> {
  const { signal, meter } = attempt
  const { claim, format, destination, where } = job
  attempt.enter('measuring')
  const disk = meter.watched(source.disk, source.plan.dataBytes)
  const anyOrder = destination.anyOrder(where.credentials?.unwrap())
  const wants = wantsOf(claim.task)
  using file = await prepareShipment({ disk, format }, anyOrder, uses.engine, wants, signal, meter.measuring)
  const facts = { length: file.length, exact: file.exact, mediaType: format.mediaType, virtual: 'layout' in format }
  const target = uploadTarget(where, { suffix, replace }, facts)

  const identity = uploadIdentity(target, source.digest)
  const { upload, kept, begun } = await beginUpload(uses, attempt, job, target, identity)
  attempt.enter('transferring')
  meter.sending(file, kept)
  await uses.tasks.startTransfer(claim, meter.look(), upload.state, identity)
  const resumable = destination.resume !== undefined && isResumable(upload.state)
  if (attempt.partial) attempt.partial = { ...attempt.partial, resumable, unrecorded: false }

  const parts = Math.ceil(file.length / upload.partBytes)
  const about = { taskId: claim.task.id, attempt: claim.task.attempts }
  const retries = new Retries(uses.retryRules, { length: file.length, parts }, ({ error, ...retry }) =>
    uses.log.warn({ ...about, ...retry, err: error }, 'the destination is tried again')
  )
  const notes = new PartNotes(
    (some) => uses.tasks.noteParts(claim, some),
    (err) => uses.log.warn({ ...about, err }, 'parts could not be written down')
  )
  const sending = {
    upload: withKeptParts(meter.counted(upload.state ? notes.of(upload) : upload, begun), kept),
    retries,
    signal,
    draining: resumable ? attempt.draining : undefined // the others may come to their end, and cannot be handed over
  }
  const { sample, ...made } = await file.send(sending, meter.share).finally(() => notes.flush())
  const sent: SentFile = upload.unproved ? { ...made, unproved: true } : made
  if (meter.resent > 0) uses.log.info({ ...about, bytes: meter.resent }, 'bytes were sent again')
  attempt.enter('committing')
  await uses.tasks.note(claim, { sent }) // or it was canceled
  await attempt.renew() // nobody else may have begun by the time the object appears
  const { left, ...committed } = await retries.run(signal, () => upload.commit(signal))
  attempt.partial = undefined
  if (left) attempt.cleanup.failed(left.what, left.error)
  return { target: { ...target, length: sent.bytes, exact: true }, sent, ...(sample && { sample }), ...committed }
}

/** What is to be learnt of the file while it is made. */
export function wantsOf({ exportId, request: { options } }: Task): Wants {
  const { checksums, contentHash, sidecars, verify } = options
  return {
    digests: sidecars.includes('sha256') ? [...checksums, 'sha256'] : checksums,
    contentHash,
    ...(verify === 'ranges' && { sample: exportId })
  }
}
