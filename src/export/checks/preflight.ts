import { isVirtual } from '../../destinations/tempurl/place.ts'
import type { Disk } from '../../disks/disk.ts'
import { assertBareDisk } from '../../disks/inspect.ts'
import { CredentialsExpired } from '../../domain/export-errors.ts'
import type { IfExists } from '../../domain/export-options.ts'
import type { OwnerId } from '../../domain/ids.ts'
import { ImageNotActive } from '../../domain/image-errors.ts'
import { ScrubRequired } from '../../domain/scrub-errors.ts'
import type { ExportRequest } from '../../domain/task.ts'
import type { ScrubPlan } from '../../scrub/profiles.ts'
import { type FilePlan, planFile } from '../attempt/file-plan.ts'
import { openSource, type SourceUses } from '../attempt/open-source.ts'
import type { ExportableImage, TaskStore } from '../ports.ts'
import type { Resolved } from '../requests/resolve-request.ts'
import { assertExportable, type ScrubPolicy } from '../scrub-policy.ts'
import { uploadTarget, type Where } from '../upload-target.ts'
import type { Check, CheckId, Detail, Passed } from './check.ts'
import { type Placement, placeObject } from './collision.ts'
import { expiryOf } from './credentials-lifetime.ts'
import { type Estimate, estimateOf } from './estimate.ts'
import { probeReading } from './probe-reading.ts'

export type PreflightUses = SourceUses & {
  readonly scrubPolicy: ScrubPolicy
  readonly tasks: Pick<TaskStore, 'pace'>
  /** Throws QuotaExceeded; absent where there are no quotas, and for a task, which has been let in already. */
  readonly withinQuota?: ((owner: OwnerId, bytes: number) => Promise<void>) | undefined
}

/** The export in question. */
export type Subject = {
  readonly owner: OwnerId
  readonly request: ExportRequest
  readonly image: ExportableImage
  readonly scrub: ScrubPlan
  readonly format: Resolved['format']
  readonly destination: Resolved['destination']
  readonly where: Where
  /** Chosen by an earlier attempt. */
  readonly suffix: number
}

/** What the checks have found on their way; the disk is the caller's to dispose of. */
export type Findings = {
  disk?: Disk
  plan?: FilePlan
  estimate?: Estimate
  placement?: Placement
  /** Looks for a place again, from this suffix on. */
  placeFrom?: (suffix: number, signal: AbortSignal) => Promise<Placement>
}

/**
 * The checks of one export, in order, each to be run or left out before the next is asked for. A real task runs them before
 * its first byte, a dry run runs nothing else. They change nothing: what the destination's own checks make, they remove.
 */
export function* checksOf(uses: PreflightUses, subject: Subject, findings: Findings): Generator<Check> {
  const { request, image, scrub, format, destination, where } = subject
  const { object, limits } = request.options
  const credentials = where.credentials?.unwrap()

  yield {
    id: 'image.active',
    needs: [],
    run: async () => {
      if (!image.source) throw new ImageNotActive(request.imageId, image.status)
      return {}
    }
  }
  yield {
    id: 'image.exportable',
    needs: ['image.active'],
    run: async (signal) => {
      assertExportable(uses.scrubPolicy, request.imageId, image.facts, subject.owner)
      const source = known(image.source)
      findings.disk = await openSource(uses, request.imageId, source, signal)
      if (format.bare) await assertBareDisk(findings.disk, source.diskFormat)
      return { detail: { virtual_size: findings.disk.virtualSize } }
    }
  }
  yield {
    id: 'scrub',
    needs: [],
    run: async () => {
      // A file that is made from the image whenever it is read would show what is to be taken out.
      if (scrub.changesDisk && isVirtual(where.objectUrl))
        throw new ScrubRequired(
          'profile',
          `the operator wants ${scrub.profile} since the task was created: create it again`
        )
      const detail = { profile: scrub.profile, steps: scrub.steps.length, on_unrecognized_os: scrub.unknownGuest }
      return scrub.changesDisk ? { detail } : { nothingToAsk: true }
    }
  }
  yield { id: 'format.supported', needs: [], run: async () => ({}) } // or there would be no `format`
  yield {
    id: 'format.limit',
    needs: ['image.exportable'],
    run: async () => {
      findings.plan = await planFile(known(findings.disk), format)
      return {}
    }
  }

  yield {
    id: 'dest.address_allowed',
    needs: [],
    run: async () => {
      destination.check(where.objectUrl, credentials)
      return {}
    }
  }
  // Before the network: what has ended there is no use asking with.
  yield {
    id: 'credentials.lifetime',
    needs: [],
    run: async () => {
      const expiry = expiryOf(credentials)
      if (findings.plan) {
        const pace = await uses.tasks.pace(subject.owner, originOf(request.exportTo))
        const plan = scrub.changesDisk ? { ...findings.plan, minLength: 0 } : findings.plan
        findings.estimate = estimateOf(plan, pace, limits.bandwidth_bps)
      }
      return lifetime(expiry, findings.estimate)
    }
  }
  const targetAt = (suffix: number) => {
    const length = findings.plan?.maxLength ?? image.source?.size ?? 0
    // What is scrubbed away makes the file smaller, and nobody knows yet by how much.
    const exact = findings.plan?.layout !== undefined && !scrub.changesDisk
    const file = { length, exact, mediaType: format.mediaType, virtual: 'layout' in format }
    return uploadTarget(where, { suffix, replace: object.if_exists === 'replace' }, file)
  }
  const before: CheckId[] = ['dest.address_allowed', 'credentials.lifetime']
  for (const { id, run } of destination.checks(targetAt(subject.suffix))) {
    yield { id, needs: [...before], run: async (signal) => asked(await run(signal)) }
    before.push(id)
  }
  yield {
    id: 'dest.collision',
    needs: [...before],
    run: async (signal) => {
      const anyLength = { minLength: 0, maxLength: Number.POSITIVE_INFINITY }
      const plan = scrub.changesDisk ? anyLength : (findings.plan ?? anyLength)
      const rules = { policy: object.if_exists ?? 'fail', sidecars: request.options.sidecars, plan }
      findings.placeFrom = (suffix, stop) => placeObject(destination, targetAt, rules, stop, suffix)
      findings.placement = await findings.placeFrom(subject.suffix, signal)
      return placed(findings.placement, targetAt(findings.placement.suffix).url, object.if_exists)
    }
  }
  if (request.options.verify === 'ranges' || request.options.verify === 'full') {
    yield {
      id: 'dest.read_back',
      needs: [...before, 'dest.collision'],
      run: async (signal) => {
        const placement = known(findings.placement)
        if (placement.kind === 'reuse' || !placement.unseen) return { nothingToAsk: true }
        await probeReading(destination, targetAt(placement.suffix), signal)
        return {}
      }
    }
  }
  yield {
    id: 'quota',
    needs: ['image.active'],
    run: async () => {
      await uses.withinQuota?.(subject.owner, known(image.source).size)
      return uses.withinQuota ? {} : { nothingToAsk: true }
    }
  }
}

/** What a destination's own check found; one that could not be asked says why. */
function asked(facts: Detail | undefined): Passed {
  if (facts?.skipped === undefined) return { detail: facts }
  const { skipped: why, ...detail } = facts
  return { detail: { ...detail, why }, nothingToAsk: true }
}

function placed(placement: Placement, url: URL, asked: IfExists | undefined): Passed {
  const object = url.href
  if (placement.kind === 'reuse') return { detail: { decision: 'reuse', object } }
  if (!placement.unseen) return { detail: { decision: placement.replace ? 'replace' : 'write', object } }
  const detail = { decision: asked === 'replace' ? 'replace' : 'write', object, existing: 'unknown' }
  if (asked === undefined || asked === 'replace') return { detail }
  const message = `What stands at the name of the object cannot be seen with these credentials, so if_exists "${asked}" may not be kept: send some that may read, or set it to replace.`
  return { detail, warning: { code: 'COLLISION_NOT_SEEN', message } }
}

function lifetime(expiry: Date | undefined, estimate: Estimate | undefined): Passed {
  if (!expiry) return { nothingToAsk: true }
  const left = (expiry.getTime() - Date.now()) / 1000
  if (left <= 0) throw new CredentialsExpired(expiry)
  const ends = { expires_at: expiry.toISOString(), seconds_left: Math.floor(left) }
  if (!estimate) return { detail: ends }
  const { seconds } = estimate
  const detail = { ...ends, seconds_estimated: seconds }
  if (left >= seconds) return { detail }
  const message = `The credentials expire at ${detail.expires_at}, and the export may take ${seconds} seconds: send some that last longer.`
  return { detail, warning: { code: 'CREDENTIALS_MAY_EXPIRE_BEFORE_END', message } }
}

/** Exports to the same scheme and host are compared; a bucket of S3 stands where the host does. */
const originOf = (exportTo: string): string => exportTo.split('/').slice(0, 3).join('/')

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a check ran before the one it needs')
  return value
}
