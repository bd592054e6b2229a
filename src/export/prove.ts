import type { Destination, UploadTarget } from '../destinations/destination.ts'
import { failure } from '../destinations/failures.ts'
import type { Disk } from '../disks/disk.ts'
import type { ExportResult, SentFile } from '../domain/task.ts'
import type { Layout } from '../formats/format.ts'
import type { Engine } from '../pipeline/engine.ts'
import type { SampledRange } from '../pipeline/range-sample.ts'
import type { RetryRules } from '../pipeline/retries.ts'
import type { Attempt } from './attempt.ts'
import type { Log } from './ports.ts'
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
}

/** Looks at what was written, and then says beside it what it is. @throws what verifyObject throws */
export async function prove(
  uses: { readonly engine: Engine; readonly retryRules: RetryRules; readonly log: Log },
  attempt: Attempt,
  destination: Destination,
  { target, sent: told, sample, location, etag }: Committed,
  source: { readonly disk: Disk; readonly layout: Layout | undefined }
): Promise<Omit<ExportResult, 'durationSeconds'>> {
  const { claim, signal, warnings } = attempt
  const { request } = claim.task
  attempt.enter('verifying')
  attempt.takeBack = async () => {
    const { signal: never } = new AbortController()
    await destination.remove(target, never)
    const left = await destination.find(target, never)
    if (left.status === 'present') throw failure('notRemoved', target.url.host)
    return ['object']
  }

  const { checksums } = request.options
  const original = { sent: told, sample, checksums, ...source }
  const checked = await verifyObject(destination, target, original, request.options.verify, uses.engine, signal)
  const { sha256 = told.sha256, ...others } = checked.digests ?? {}
  const sent = { ...told, sha256, checksums: { ...told.checksums, ...others } }
  const { virtualSize } = source.disk
  const { verify } = checked
  const facts = { target, request, source: claim.source, sent, etag, virtualSize, verify, createdAt: new Date() }
  const written = await writeSidecars(destination, request.options.sidecars, facts, uses, signal)

  warnings.push(...checked.warnings, ...written.warnings)
  const found = Object.keys(written.sidecars).length > 0 ? { sidecars: written.sidecars } : {}
  return { ...sent, location, virtualSize, verify, ...(etag !== undefined && { etag }), ...found }
}
