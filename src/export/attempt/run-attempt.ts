import { isPermanent } from '../../domain/errors.ts'
import { ImageNotFound } from '../../domain/image-errors.ts'
import type { ExportResult, Task } from '../../domain/task.ts'
import type { ScrubPlan } from '../../scrub/profiles.ts'
import { runCheck } from '../checks/check.ts'
import type { Placement } from '../checks/collision.ts'
import { checksOf, type Findings, type PreflightUses } from '../checks/preflight.ts'
import { CancelRequested, type Clock, type ExportableImage, type TaskStore } from '../ports.ts'
import { prove } from '../proof/prove.ts'
import { proveReused, takeStanding } from '../proof/prove-standing.ts'
import { scrubPlanOf, toldProperties } from '../scrub-policy.ts'
import { type Attempt, DeadlinePassed } from './attempt.ts'
import { committedBefore, leftoversOf, removeAll, removePartial, takeOver } from './earlier-attempts.ts'
import { type ExportJob, type ExportJobUses, exportJob } from './export-job.ts'
import { planFile } from './file-plan.ts'
import { openSource } from './open-source.ts'
import { type ScrubSourceUses, scrubSource } from './scrub-source.ts'
import { type SendUses, sendFile } from './send-file.ts'
import { lateConflict, takeName } from './take-name.ts'

export type AttemptUses = PreflightUses & ExportJobUses & SendUses & ScrubSourceUses & { readonly clock: Clock }

/** A question to the destination, before the first byte. Those to the image take what a large image takes. */
const DESTINATION_CHECK_MS = 60_000
/** The destination has most likely just been silent. */
const PROBE_REMOVAL_MS = 3_000

/** One attempt from its beginning to the proved object. */
export async function runAttempt(uses: AttemptUses, attempt: Attempt): Promise<ExportResult> {
  const startedAt = uses.clock()
  const { claim, signal } = attempt
  const image = await imageOf(uses.tasks, claim.task)
  const scrub = scrubPlanOf(uses.scrubPolicy, image.facts, claim.task.request.options)
  const told = { properties: toldProperties(uses.scrubPolicy, image.facts) }
  const job = exportJob(uses, claim, scrub, told.properties)
  const seconds = () => Math.round(uses.clock() - startedAt) / 1000

  if (claim.cancel) {
    await removeAll(attempt, job)
    throw new CancelRequested(claim.cancel)
  }
  if (claim.epoch > 1) attempt.partial = leftoversOf(job)
  const committed = await committedBefore(job, signal)
  if (committed) {
    attempt.partial = undefined
    const { tidy } = job.destination
    if (tidy) await attempt.cleanup.remove('what the upload left', (stop) => tidy(committed.target, stop))
    await using disk = await openSource(uses, claim.task.request.imageId, claim.source, signal)
    // Nobody has the scrubbed disk any more: where its bytes are wanted, the whole object is read.
    const layout = scrub.changesDisk ? undefined : (await planFile(disk, job.format)).layout
    const source = { disk, layout, ...told, scrubReport: claim.task.scrubReport }
    return { ...(await prove(uses, attempt, job.destination, committed, source)), durationSeconds: seconds() }
  }
  const about = { ...told, scrubReport: claim.task.scrubReport, scrubbed: scrub.changesDisk }
  const standing = await takeStanding(uses, attempt, job, about)
  if (standing) {
    attempt.partial = undefined
    return { ...standing, durationSeconds: seconds() }
  }
  if (claim.sent) await uses.tasks.note(claim, { sent: null }) // it is not there: from now on a cancel is accepted again
  await takeOver(attempt, job)
  if (claim.spent === 'deadline') throw new DeadlinePassed()
  if (claim.spent === 'attempts') throw new Error('every attempt was lost with its worker')

  const findings: Findings = {}
  try {
    const { disk: original, ...found } = await preflight(uses, attempt, job, { image, scrub }, findings)
    const placeFrom = (suffix: number) => found.placeFrom(suffix, signal)
    const isElsewhere = ({ kind, suffix }: Placement) => kind === 'reuse' || suffix !== claim.suffix
    if (isElsewhere(found.placement)) await removePartial(attempt) // while its name is the one that is written down
    const placement = await takeName(uses.tasks, attempt, job, found.placement, placeFrom)
    if (isElsewhere(placement)) await removePartial(attempt)
    await using scrubbed = await scrubSource(uses, attempt, scrub, original, job.diskKey)
    const { disk, digest, report } = scrubbed
    const plan = digest === undefined ? found.plan : await planFile(disk, job.format)
    const source = { disk, layout: plan.layout, ...told, scrubReport: report }
    if (placement.kind === 'reuse') {
      return { ...(await proveReused(uses, attempt, job, placement, source)), durationSeconds: seconds() }
    }
    const sending = sendFile(uses, attempt, job, { disk, plan, digest }, placement)
    const sent = await sending.catch((error: unknown) => Promise.reject(lateConflict(job, error)))
    const result = await prove(uses, attempt, job.destination, sent, source)
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
  wanted: { readonly image: ExportableImage; readonly scrub: ScrubPlan },
  findings: Findings
): Promise<Required<Pick<Findings, 'disk' | 'plan' | 'placement' | 'placeFrom'>>> {
  const { task, source, suffix } = claim
  const image = { ...wanted.image, source }
  const subject = { ...job, owner: task.owner, request: task.request, image, scrub: wanted.scrub, suffix }
  for (const check of checksOf(uses, subject, findings)) {
    if (check.id === 'dest.limits' && attempt.partial) continue // what was sent takes its room already
    attempt.enter(/^(?:image|format)\./.test(check.id) ? 'inspecting' : 'preflight')
    const limitMs = check.id.startsWith('dest.') ? DESTINATION_CHECK_MS : undefined
    const { warning } = await runCheck(check, limitMs, attempt.signal).catch((error: unknown) => {
      // The probe may have been written, and the answer come to nobody.
      if (check.id === 'dest.write_probe' && !isPermanent(error)) {
        attempt.partial ??= { ...leftoversOf({ claim, ...job }), what: 'the write probe', limitMs: PROBE_REMOVAL_MS }
      }
      throw error
    })
    if (warning) attempt.warnings.push(warning)
  }
  const { disk, plan, placement, placeFrom } = findings
  if (!disk || !plan || !placement || !placeFrom) throw new Error('the checks have passed and found nothing')
  return { disk, plan, placement, placeFrom }
}

/** The image as it is now: whoever made the task was allowed to see it. */
async function imageOf(tasks: Pick<TaskStore, 'exportableImage'>, task: Task): Promise<ExportableImage> {
  const anybody = { owner: task.owner, userId: task.userId ?? '', roles: [], admin: true }
  const image = await tasks.exportableImage(anybody, task.request.imageId)
  if (!image) throw new ImageNotFound(task.request.imageId)
  return image
}
