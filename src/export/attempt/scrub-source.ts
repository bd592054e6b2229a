import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Disk } from '../../disks/disk.ts'
import { SecretsFound } from '../../domain/scrub-errors.ts'
import type { Guest, ScrubReport } from '../../domain/scrub-report.ts'
import type { Secret } from '../../domain/secret.ts'
import { type OperatorStep, type OperatorStepUses, runOperatorSteps } from '../../scrub/custom/operator-steps.ts'
import type { OverlayDisk } from '../../scrub/overlay-disk.ts'
import type { ScrubPlan } from '../../scrub/profiles.ts'
import type { Scratch } from '../../scrub/scratch.ts'
import { type ScrubUses, scrub, untouched } from '../../scrub/scrub.ts'
import type { Clock, TaskStore } from '../ports.ts'
import type { Attempt } from './attempt.ts'

export type ScrubSourceUses = {
  readonly tasks: Pick<TaskStore, 'note'>
  readonly clock: Clock
  readonly scrubbing: Omit<ScrubUses, 'folder' | 'clock' | 'tell' | 'operatorSteps' | 'diskKey'> & {
    readonly scratch: Scratch
    readonly operator?: OperatorSteps | undefined
  }
}

/** The operator's own steps, and what runs them. */
export type OperatorSteps = Omit<OperatorStepUses, 'folder' | 'begin'> & { readonly steps: readonly OperatorStep[] }

/** What is exported instead of the image's own disk. Disposing of it leaves that one open. */
export type ScrubbedSource = AsyncDisposable & {
  readonly disk: Disk
  readonly report: ScrubReport
  /** Undefined where the disk is the image's own. */
  readonly digest: string | undefined
}

/**
 * Takes out of the disk what the plan says, in a folder of this attempt, and writes down what was done, also where that is
 * why the export goes no further.
 * @throws SecretsFound, ScratchFull, what `scrub` throws
 */
export async function scrubSource(
  { tasks, clock, scrubbing }: ScrubSourceUses,
  attempt: Attempt,
  plan: ScrubPlan,
  disk: Disk,
  diskKey?: Secret<string>
): Promise<ScrubbedSource> {
  const { claim, signal } = attempt
  if (!plan.changesDisk) {
    const report = untouched(plan)
    if (plan.profile !== 'none') await tasks.note(claim, { scrubReport: report })
    return { disk, report, digest: undefined, [Symbol.asyncDispose]: async () => {} }
  }
  attempt.enter('scrubbing')
  await using undo = new AsyncDisposableStack()
  const { path } = undo.use(await scrubbing.scratch.folder())
  const folder = async (name: string) => {
    const below = join(path, name)
    await mkdir(below, { mode: 0o700 })
    return below
  }
  const { operator, ...uses } = { ...scrubbing, diskKey }
  const { id: taskId, request } = claim.task
  const about = { taskId, imageId: request.imageId, format: request.exportFormat }
  const operatorSteps = operator && {
    ids: operator.steps.map(({ id }) => id),
    run: (overlay: OverlayDisk, guest: Guest, begin: (id: string) => void) =>
      runOperatorSteps(overlay, operator.steps, { ...about, guest }, { ...operator, folder, begin }, signal)
  }
  const told = { clock, tell: attempt.meter.scrubbing }
  const scrubbed = await scrub(
    disk,
    plan,
    { ...uses, ...told, folder, ...(operatorSteps && { operatorSteps }) },
    signal
  )
  undo.use(scrubbed.disk)
  const { report, digest } = scrubbed
  await tasks.note(claim, { scrubReport: report })
  warn(attempt, report)
  if (plan.secrets === 'refuse' && report.secrets.length > 0) {
    throw new SecretsFound(report.secrets.map(({ rule }) => rule))
  }
  const kept = undo.move()
  return { disk: scrubbed.disk, report, digest, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** What a user should know who does not read the report. */
function warn({ warnings }: Attempt, { path, secrets, partitions }: ScrubReport): void {
  if (path === 'none') {
    const message = 'The files of the guest are as they were: they could not be changed. scrub_report says why.'
    warnings.push({ code: 'SCRUB_SKIPPED', message })
  }
  const kept = partitions.filter(({ why }) => why !== undefined).length
  if (kept > 0) {
    const message = `${kept} of ${partitions.length} partitions leave with their free space: scrub_report says which, and why.`
    warnings.push({ code: 'FREE_SPACE_KEPT', message })
  }
  // The system partition of EFI is one that nearly every guest has.
  const left = partitions.filter(({ filesLeft, fileSystem }) => filesLeft !== undefined && fileSystem !== 'fat').length
  if (left > 0) {
    const message = `${left} of ${partitions.length} partitions leave with all their files: scrub_report says which, and why.`
    warnings.push({ code: 'FILES_LEFT', message })
  }
  if (secrets.length > 0) {
    const message = `${secrets.length} secrets were found in the guest and left there: scrub_report says which, and where.`
    warnings.push({ code: 'SECRETS_KEPT', message })
  }
}
