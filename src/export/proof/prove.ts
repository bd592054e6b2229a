import type { Destination, Removed, UploadTarget } from '../../destinations/destination.ts'
import { failure } from '../../destinations/failures.ts'
import type { Disk } from '../../disks/disk.ts'
import type { Sidecar, VerifyLevel } from '../../domain/export-options.ts'
import type { ScrubReport } from '../../domain/scrub-report.ts'
import type { ExportResult, SentFile } from '../../domain/task.ts'
import type { Layout } from '../../formats/format.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { SampledRange } from '../../pipeline/range-sample.ts'
import type { RetryRules } from '../../pipeline/retries.ts'
import type { Attempt } from '../attempt/attempt.ts'
import { placeName } from '../checks/collision.ts'
import type { Log } from '../ports.ts'
import { besideIt } from '../requests/key-template.ts'
import { SIDECAR_ENDINGS } from './sidecar-text.ts'
import { writeSidecars } from './sidecars.ts'
import { verifyObject } from './verify.ts'

/** A file that can be seen at its place. */
export type Committed = {
  readonly target: UploadTarget
  readonly sent: SentFile
  /** Of a compressed file that this attempt has sent, where one was asked for. */
  readonly sample?: readonly SampledRange[]
  readonly location: string
  readonly etag?: string
  /** How it is verified that stood there before, of which nobody knows who has sent it. Absent: as the task asks. */
  readonly level?: VerifyLevel
}

/** What the object is compared with, and what is told beside it. */
export type Proof = {
  readonly disk: Disk
  readonly layout: Layout | undefined
  /** Of the image, that may be told. */
  readonly properties: Readonly<Record<string, string>>
  readonly scrubReport: ScrubReport | null
}

type ProofUses = { readonly engine: Engine; readonly retryRules: RetryRules; readonly log: Log }
type Proved = Omit<ExportResult, 'durationSeconds'>

/**
 * Looks at what was written, and then says beside it what it is. From its beginning on the attempt can take it back.
 * @throws what verifyObject throws
 */
export async function prove(
  uses: ProofUses,
  attempt: Attempt,
  destination: Destination,
  committed: Committed,
  source: Proof
): Promise<Proved> {
  const { target } = committed
  const written = new Set<Sidecar>()
  attempt.takeBack = takingBack(destination, target, written)
  return proveHere(uses, attempt, destination, committed, source, written)
}

/**
 * The same of an object that is to stay where it is if it does not pass.
 * @param written told of what is written beside it, before it is
 */
export async function proveHere(
  uses: ProofUses,
  attempt: Attempt,
  destination: Destination,
  { target, sent: told, sample, location, etag, level }: Committed,
  source: Proof,
  written = new Set<Sidecar>()
): Promise<Proved> {
  const { claim, signal, warnings } = attempt
  const { request } = claim.task
  const { checksums, verify: asked, sidecars, object } = request.options
  attempt.enter('verifying')
  const original = { sent: told, sample, checksums, anybodys: level !== undefined, ...source }
  const checked = await verifyObject(destination, target, original, level ?? asked, uses.engine, signal)
  const { sha256 = told.sha256, ...others } = checked.digests ?? {}
  const sent = { ...told, sha256, checksums: { ...told.checksums, ...others } }
  const { virtualSize } = source.disk
  const { properties, scrubReport } = source
  const { verify } = checked
  const about = { properties, scrubReport, verify, createdAt: new Date() }
  const facts = { target, request, source: claim.source, sent, etag, virtualSize, ...about }
  const beside = await writeSidecars(destination, sidecars, object.if_exists ?? 'fail', facts, uses, signal, written)

  warnings.push(...checked.warnings, ...beside.warnings)
  const found = Object.keys(beside.sidecars).length > 0 ? { sidecars: beside.sidecars } : {}
  return { ...sent, location, virtualSize, verify, ...(etag !== undefined && { etag }), ...found }
}

/** Removes an object with what was written beside it until then. */
export const takingBack =
  (destination: Destination, target: UploadTarget, written: ReadonlySet<Sidecar>) => async (): Promise<Removed> => {
    const { signal: never } = new AbortController()
    const removed = ['object']
    await destination.remove(target, never)
    const left = await destination.find(target, never)
    if (left.status === 'present') throw failure('notRemoved', placeName(target.url))
    for (const sidecar of written) {
      await destination.remove({ ...target, url: besideIt(target.url, SIDECAR_ENDINGS[sidecar]) }, never)
      removed.push(SIDECAR_ENDINGS[sidecar])
    }
    return removed
  }
