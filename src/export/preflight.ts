import type { DestinationCheck } from '../destinations/destination.ts'
import type { Disk } from '../disks/disk.ts'
import { assertBareDisk } from '../disks/inspect.ts'
import { CheckTimedOut, CredentialsExpired } from '../domain/export-errors.ts'
import type { OwnerId } from '../domain/ids.ts'
import { ImageNotActive } from '../domain/image-errors.ts'
import type { ExportRequest, Warning } from '../domain/task.ts'
import { type Placement, placeObject } from './collision.ts'
import { expiryOf } from './credentials-lifetime.ts'
import { type Estimate, estimateOf } from './estimate.ts'
import { type FilePlan, planFile } from './file-plan.ts'
import { openSource, type SourceUses } from './open-source.ts'
import type { ExportableImage, TaskStore } from './ports.ts'
import type { Resolved } from './resolve-request.ts'
import { uploadTarget, type Where } from './upload-target.ts'

type CheckId =
  | 'image.active'
  | 'image.exportable'
  | 'format.supported'
  | 'format.limit'
  | 'dest.address_allowed'
  | DestinationCheck['id']
  | 'dest.collision'
  | 'quota'
  | 'credentials.lifetime'

/** Facts for the user, without secrets. */
export type Detail = Readonly<Record<string, string | number>>

/** What a passed check has to say. `nothingToAsk`: it does not apply to this export. */
type Passed = { readonly detail?: Detail | undefined; readonly warning?: Warning; readonly nothingToAsk?: true }

/** One question. `run` throws ExportError when the export cannot work. */
export type Check = {
  readonly id: CheckId
  /** Checks that this one rests on. */
  readonly needs: readonly CheckId[]
  readonly run: (signal: AbortSignal) => Promise<Passed>
}

export type PreflightUses = SourceUses & {
  readonly tasks: Pick<TaskStore, 'pace'>
  /** Throws QuotaExceeded; absent where there are no quotas, and for a task, which has been let in already. */
  readonly withinQuota?: ((owner: OwnerId, bytes: number) => Promise<void>) | undefined
}

/** The export in question. */
export type Subject = {
  readonly owner: OwnerId
  readonly request: ExportRequest
  readonly image: ExportableImage
  readonly format: Resolved['format']
  readonly destination: Resolved['destination']
  readonly where: Where
  /** Chosen by an earlier attempt. */
  readonly suffix: number
}

/** What the checks have found on their way; the disk is the caller's to dispose of. */
export type Findings = { disk?: Disk; plan?: FilePlan; estimate?: Estimate; placement?: Placement }

/**
 * The checks of one export, in order, each to be run or left out before the next is asked for. A real task runs them before
 * its first byte, a dry run runs nothing else. They change nothing: what the destination's own checks make, they remove.
 */
export function* checksOf(uses: PreflightUses, subject: Subject, findings: Findings): Generator<Check> {
  const { request, image, format, destination, where } = subject
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
      const source = known(image.source)
      findings.disk = await openSource(uses, request.imageId, source, signal)
      if (format.bare) await assertBareDisk(findings.disk, source.diskFormat)
      return { detail: { virtual_size: findings.disk.virtualSize } }
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
  const targetAt = (suffix: number) => {
    const length = findings.plan?.maxLength ?? image.source?.size ?? 0
    const exact = findings.plan?.layout !== undefined
    const file = { length, exact, mediaType: format.mediaType, virtual: 'layout' in format }
    return uploadTarget(where, { suffix, replace: object.if_exists === 'replace' }, file)
  }
  const before: CheckId[] = ['dest.address_allowed']
  for (const { id, run } of destination.checks(targetAt(subject.suffix))) {
    yield { id, needs: [...before], run: async (signal) => ({ detail: await run(signal) }) }
    before.push(id)
  }
  yield {
    id: 'dest.collision',
    needs: [...before],
    run: async (signal) => {
      const plan = findings.plan ?? { minLength: 0, maxLength: Number.POSITIVE_INFINITY }
      const policy = object.if_exists ?? 'fail'
      findings.placement = await placeObject(destination, targetAt, policy, plan, signal, subject.suffix)
      return { detail: detailOf(findings.placement, targetAt) }
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
  yield {
    id: 'credentials.lifetime',
    needs: ['format.limit'],
    run: async () => {
      const pace = await uses.tasks.pace(subject.owner, originOf(request.exportTo))
      findings.estimate = estimateOf(known(findings.plan), pace, limits.bandwidth_bps)
      return lifetime(expiryOf(credentials), findings.estimate)
    }
  }
}

/** Runs one check with a limit on its time. */
export async function runCheck(check: Check, limitMs: number | undefined, signal: AbortSignal): Promise<Passed> {
  signal.throwIfAborted()
  if (limitMs === undefined) return check.run(signal)
  const { promise: late, reject } = Promise.withResolvers<never>()
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new CheckTimedOut(limitMs / 1000)), limitMs)
  const either = AbortSignal.any([signal, stop.signal])
  either.addEventListener('abort', () => reject(either.reason), { once: true })
  try {
    return await Promise.race([check.run(either), late])
  } finally {
    clearTimeout(timer)
  }
}

function detailOf(placement: Placement, targetAt: (suffix: number) => { readonly url: URL }): Detail {
  const decision = placement.kind === 'reuse' ? 'reuse' : placement.replace ? 'replace' : 'write'
  return { decision, object: targetAt(placement.suffix).url.href }
}

function lifetime(expiry: Date | undefined, { seconds }: Estimate): Passed {
  if (!expiry) return { nothingToAsk: true }
  const left = (expiry.getTime() - Date.now()) / 1000
  if (left <= 0) throw new CredentialsExpired(expiry)
  const detail = { expires_at: expiry.toISOString(), seconds_left: Math.floor(left), seconds_estimated: seconds }
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
