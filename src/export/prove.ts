import type { Destination, UploadTarget } from '../destinations/destination.ts'
import type { Disk } from '../disks/disk.ts'
import type { ExportResult, SentFile, Warning } from '../domain/task.ts'
import type { Layout } from '../formats/format.ts'
import type { Engine } from '../pipeline/engine.ts'
import type { Attempt } from './attempt.ts'
import type { Log } from './ports.ts'
import { writeSidecars } from './sidecars.ts'
import { verifyObject } from './verify.ts'

/** A file that can be seen at its place. */
export type Committed = {
  readonly target: UploadTarget
  readonly sent: SentFile
  readonly location: string
  readonly etag?: string
}

const notKnown = (names: readonly string[]): Warning => ({
  code: 'CHECKSUM_NOT_KNOWN',
  message: `Of this file ${names.join(', ')} could not be computed while it was sent. "verify": "full" reads it back for that.`
})

/** Looks at what was written, and then says beside it what it is. @throws what verifyObject throws */
export async function prove(
  uses: { readonly engine: Engine; readonly log: Log },
  attempt: Attempt,
  destination: Destination,
  { target, sent: told, location, etag }: Committed,
  source: { readonly disk: Disk; readonly layout: Layout | undefined }
): Promise<Omit<ExportResult, 'durationSeconds'>> {
  const { claim, signal, warnings } = attempt
  const { request } = claim.task
  attempt.enter('verifying')
  attempt.takeBack = () => destination.remove(target, new AbortController().signal).then(() => ['object'])

  const { checksums, contentHash } = request.options
  const original = { sent: told, checksums, ...source }
  const checked = await verifyObject(destination, target, original, request.options.verify, uses.engine, signal)
  const { sha256 = told.sha256, ...others } = checked.digests ?? {}
  const sent = { ...told, sha256, checksums: { ...told.checksums, ...others } }
  const { virtualSize } = source.disk
  const { verify } = checked
  const facts = { target, request, source: claim.source, sent, etag, virtualSize, verify, createdAt: new Date() }
  const written = await writeSidecars(destination, request.options.sidecars, facts, uses.log, signal)

  warnings.push(...checked.warnings, ...written.warnings)
  const known = new Set(['sha256', ...Object.keys(sent.checksums)])
  const unknown: string[] = checksums.filter((name) => !known.has(name))
  if (contentHash && !sent.contentHash) unknown.push('content')
  if (unknown.length > 0) warnings.push(notKnown(unknown))
  const found = Object.keys(written.sidecars).length > 0 ? { sidecars: written.sidecars } : {}
  return { ...sent, location, virtualSize, verify, ...(etag !== undefined && { etag }), ...found }
}
