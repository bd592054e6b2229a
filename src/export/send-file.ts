import type { Disk } from '../disks/disk.ts'
import type { Task } from '../domain/task.ts'
import type { Engine } from '../pipeline/engine.ts'
import { Retries, type RetryRules } from '../pipeline/retries.ts'
import { prepareShipment } from '../pipeline/shipment.ts'
import type { Wants } from '../pipeline/wants.ts'
import type { Attempt } from './attempt.ts'
import type { Placement } from './collision.ts'
import type { ExportJob } from './export-job.ts'
import type { FilePlan } from './file-plan.ts'
import { LeaseLost, type Log, type TaskStore } from './ports.ts'
import type { Committed } from './prove.ts'
import { uploadTarget } from './upload-target.ts'

export type SendUses = {
  readonly tasks: TaskStore
  readonly engine: Engine
  readonly retryRules: RetryRules
  readonly log: Log
}

/** Makes the file, sends it, and lets it be seen at its place. */
export async function sendFile(
  uses: SendUses,
  attempt: Attempt,
  { claim, format, destination, where }: ExportJob,
  { plan, ...source }: { readonly disk: Disk; readonly plan: FilePlan },
  { suffix, replace }: Extract<Placement, { kind: 'write' }>
): Promise<Committed> {
  const { signal, meter } = attempt
  attempt.enter('measuring')
  const disk = meter.watched(source.disk, plan.dataBytes)
  const anyOrder = destination.anyOrder(where.credentials?.unwrap())
  const wants = wantsOf(claim.task)
  using file = await prepareShipment({ disk, format }, anyOrder, uses.engine, wants, signal, meter.measuring)
  const facts = { length: file.length, exact: file.exact, mediaType: format.mediaType, virtual: 'layout' in format }
  const target = uploadTarget(where, { suffix, replace }, facts)

  const upload = await destination.open(target, signal)
  try {
    attempt.enter('transferring')
    meter.sending(file)
    await uses.tasks.startTransfer(claim, meter.look(), upload.state)
    const parts = Math.ceil(file.length / upload.partBytes)
    const about = { taskId: claim.task.id, attempt: claim.task.attempts }
    const retries = new Retries(uses.retryRules, { length: file.length, parts }, ({ error, ...retry }) =>
      uses.log.warn({ ...about, ...retry, err: error }, 'the destination is tried again')
    )
    const { sample, ...sent } = await file.send({ upload: meter.counted(upload), retries, signal }, meter.share)
    if (retries.lostBytes > 0) uses.log.info({ ...about, bytes: retries.lostBytes }, 'bytes were sent again')
    attempt.enter('committing')
    await uses.tasks.note(claim, { sent }) // or it was canceled
    await attempt.renew() // nobody else may have begun by the time the object appears
    const committed = await retries.run(signal, () => upload.commit(signal))
    return { target: { ...target, length: sent.bytes, exact: true }, sent, ...(sample && { sample }), ...committed }
  } catch (error) {
    // Whoever holds the lease now removes what we leave: the name of the object is the same, and it may be theirs already.
    const lost = error instanceof LeaseLost || signal.reason instanceof LeaseLost
    if (!lost) await attempt.cleanup.remove('the partial upload', () => upload.abort())
    throw error
  }
}

function wantsOf({ exportId, request: { options } }: Task): Wants {
  const { checksums, contentHash, sidecars, verify } = options
  return {
    digests: sidecars.includes('sha256') ? [...checksums, 'sha256'] : checksums,
    contentHash,
    ...(verify === 'ranges' && { sample: exportId })
  }
}
