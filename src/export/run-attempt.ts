import type { Destination } from '../destinations/destination.ts'
import type { Destinations } from '../destinations/registry.ts'
import type { Disk } from '../disks/disk.ts'
import { FormatUnsupported } from '../domain/errors.ts'
import type { ExportResult, Task } from '../domain/task.ts'
import type { Format } from '../formats/format.ts'
import { chooseFormat } from '../formats/format-family.ts'
import type { PackedFormat } from '../formats/packing.ts'
import type { Formats } from '../formats/registry.ts'
import type { Engine } from '../pipeline/engine.ts'
import { Retries, type RetryRules } from '../pipeline/retries.ts'
import { prepareShipment } from '../pipeline/shipment.ts'
import type { Wants } from '../pipeline/wants.ts'
import { type Attempt, DeadlinePassed } from './attempt.ts'
import { isOurs, type Placement } from './collision.ts'
import { contentIdOf } from './content-id.ts'
import { type FilePlan, planFile } from './file-plan.ts'
import { openSource } from './open-source.ts'
import { CancelRequested, type Claim, type Clock, LeaseLost, type Log, type Opener, type TaskStore } from './ports.ts'
import { checksOf, type Findings, type PreflightUses, runCheck } from './preflight.ts'
import { type Committed, prove } from './prove.ts'
import { NO_FILE, uploadTarget, type Where } from './upload-target.ts'

export type AttemptUses = PreflightUses & {
  readonly tasks: TaskStore
  readonly formats: Formats
  readonly engine: Engine
  readonly retryRules: RetryRules
  readonly destinations: Destinations
  readonly opener: Opener
  readonly clock: Clock
  readonly log: Log
}

/** One export in the words of the service's parts. */
type Export = {
  readonly claim: Claim
  readonly format: Format | PackedFormat
  readonly destination: Destination
  readonly where: Where
}

/** A question to the destination, before the first byte. Those to the image take what a large image takes. */
const DESTINATION_CHECK_MS = 60_000

/** One attempt from its beginning to the proved object. */
export async function runAttempt(uses: AttemptUses, attempt: Attempt): Promise<ExportResult> {
  const startedAt = uses.clock()
  const { claim, signal } = attempt
  const job = exportOf(uses, claim)
  const seconds = () => Math.round(uses.clock() - startedAt) / 1000

  if (claim.cancel) {
    await removeAll(attempt, job)
    throw new CancelRequested(claim.cancel)
  }
  const committed = await committedBefore(job, signal)
  if (committed) {
    await using disk = await openSource(uses, claim.task.request.imageId, claim.source, signal)
    const { layout } = await planFile(disk, job.format)
    return { ...(await prove(uses, attempt, job.destination, committed, { disk, layout })), durationSeconds: seconds() }
  }
  if (claim.sent) await uses.tasks.note(claim, { sent: null }) // it is not there: from now on a cancel is accepted again
  await removeLeftovers(attempt, job)
  if (claim.spent === 'deadline') throw new DeadlinePassed()
  if (claim.spent === 'attempts') throw new Error('every attempt was lost with its worker')

  const findings: Findings = {}
  try {
    const { disk, plan, placement } = await preflight(uses, attempt, job, findings)
    await uses.tasks.note(claim, { suffix: placement.suffix, warnings: attempt.warnings })
    if (placement.kind === 'reuse') return { ...reused(job, placement, disk), durationSeconds: seconds() }
    const sent = await send(uses, attempt, job, { disk, plan }, placement)
    const result = await prove(uses, attempt, job.destination, sent, { disk, layout: plan.layout })
    return { ...result, durationSeconds: seconds() }
  } finally {
    await findings.disk?.[Symbol.asyncDispose]()
  }
}

function exportOf(uses: AttemptUses, claim: Claim): Export {
  const { task, sealed, source } = claim
  const { request } = task
  const objectUrl = new URL(claim.objectUrl)
  const family = uses.formats.get(request.exportFormat)
  if (!family) throw new FormatUnsupported([...uses.formats.keys()])
  const marks = {
    taskId: task.id,
    owner: task.owner,
    exportId: task.exportId,
    contentId: contentIdOf(request, source)
  }
  return {
    claim,
    format: chooseFormat(family, request.formatOptions),
    destination: uses.destinations.forTarget(objectUrl),
    where: {
      objectUrl,
      credentials: sealed ? uses.opener.open(task.id, task.owner, sealed) : undefined,
      marks,
      object: request.options.object
    }
  }
}

/** What an attempt before this one has finished sending, if it stands complete at its place: its worker died after that. */
async function committedBefore(
  { claim, where, destination }: Export,
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
async function removeAll(attempt: Attempt, job: Export): Promise<void> {
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

async function removeLeftovers({ claim, cleanup, signal }: Attempt, { where, destination }: Export): Promise<void> {
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

/** Asks everything that a dry run asks; what would fail after hours fails here. */
async function preflight(
  uses: AttemptUses,
  attempt: Attempt,
  { claim, ...job }: Export,
  findings: Findings
): Promise<{ readonly disk: Disk; readonly plan: FilePlan; readonly placement: Placement }> {
  const { task, source, suffix } = claim
  const image = { status: 'active', name: null, source }
  for (const check of checksOf(uses, { ...job, owner: task.owner, request: task.request, image, suffix }, findings)) {
    attempt.enter(/^(?:image|format)\./.test(check.id) ? 'inspecting' : 'preflight')
    const limitMs = check.id.startsWith('dest.') ? DESTINATION_CHECK_MS : undefined
    const { warning } = await runCheck(check, limitMs, attempt.signal)
    if (warning) attempt.warnings.push(warning)
  }
  const { disk, plan, placement } = findings
  if (!disk || !plan || !placement) throw new Error('the checks have passed and found nothing')
  return { disk, plan, placement }
}

function reused(
  { where }: Export,
  { suffix, bytes, sha256 }: Extract<Placement, { kind: 'reuse' }>,
  { virtualSize }: Disk
): Omit<ExportResult, 'durationSeconds'> {
  const { url } = uploadTarget(where, { suffix, replace: false }, NO_FILE)
  return { location: url.href, bytes, virtualSize, sha256, composite: null, parts: 0, reused: true }
}

async function send(
  uses: AttemptUses,
  attempt: Attempt,
  { claim, format, destination, where }: Export,
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
