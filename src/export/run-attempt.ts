import type { Disk } from '../disks/disk.ts'
import type { ExportResult } from '../domain/task.ts'
import { type Attempt, DeadlinePassed } from './attempt.ts'
import type { Placement } from './collision.ts'
import { committedBefore, removeAll, removeLeftovers } from './earlier-attempts.ts'
import { type ExportJob, type ExportJobUses, exportJob } from './export-job.ts'
import { type FilePlan, planFile } from './file-plan.ts'
import { openSource } from './open-source.ts'
import { CancelRequested, type Clock } from './ports.ts'
import { checksOf, type Findings, type PreflightUses, runCheck } from './preflight.ts'
import { prove } from './prove.ts'
import { type SendUses, sendFile } from './send-file.ts'
import { NO_FILE, uploadTarget } from './upload-target.ts'

export type AttemptUses = PreflightUses & ExportJobUses & SendUses & { readonly clock: Clock }

/** A question to the destination, before the first byte. Those to the image take what a large image takes. */
const DESTINATION_CHECK_MS = 60_000

/** One attempt from its beginning to the proved object. */
export async function runAttempt(uses: AttemptUses, attempt: Attempt): Promise<ExportResult> {
  const startedAt = uses.clock()
  const { claim, signal } = attempt
  const job = exportJob(uses, claim)
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
    const sent = await sendFile(uses, attempt, job, { disk, plan }, placement)
    const result = await prove(uses, attempt, job.destination, sent, { disk, layout: plan.layout })
    return { ...result, durationSeconds: seconds() }
  } finally {
    await findings.disk?.[Symbol.asyncDispose]()
  }
}

/** Asks everything that a dry run asks; what would fail after hours fails here. */
async function preflight(
  uses: AttemptUses,
  attempt: Attempt,
  { claim, ...job }: ExportJob,
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
  { where }: ExportJob,
  { suffix, bytes, sha256 }: Extract<Placement, { kind: 'reuse' }>,
  { virtualSize }: Disk
): Omit<ExportResult, 'durationSeconds'> {
  const { url } = uploadTarget(where, { suffix, replace: false }, NO_FILE)
  return { location: url.href, bytes, virtualSize, sha256, composite: null, parts: 0, reused: true }
}
