import type { Destination } from '../../destinations/destination.ts'
import { failure } from '../../destinations/failures.ts'
import { hasOwnName } from '../../destinations/own-name.ts'
import { ExportError } from '../../domain/errors.ts'
import type { IfExists, Sidecar } from '../../domain/export-options.ts'
import type { Warning } from '../../domain/task.ts'
import { Retries, type RetryRules } from '../../pipeline/retries.ts'
import { placeName } from '../checks/collision.ts'
import type { Log } from '../ports.ts'
import { besideIt } from '../requests/key-template.ts'
import { writeSmall } from '../write-small.ts'
import { type ManifestFacts, readSmall, understoodManifest } from './manifest.ts'
import { SIDECAR_ENDINGS, sidecarText } from './sidecar-text.ts'

export type Written = {
  readonly sidecars: Partial<Readonly<Record<Sidecar, string>>>
  readonly warnings: readonly Warning[]
}

/**
 * Writes the small objects beside the image that were asked for. One that cannot be written is a warning: the image itself is
 * there and proved.
 * @param written told of each before it is written
 * @throws the reason of `signal`
 */
export async function writeSidecars(
  destination: Destination,
  asked: readonly Sidecar[],
  policy: IfExists,
  facts: ManifestFacts,
  { retryRules, log }: { readonly retryRules: RetryRules; readonly log: Log },
  signal: AbortSignal,
  written: Set<Sidecar>
): Promise<Written> {
  const sidecars: Partial<Record<Sidecar, string>> = {}
  const warnings: Warning[] = []
  for (const sidecar of asked) {
    try {
      const begin = () => void written.add(sidecar)
      sidecars[sidecar] = await writeSidecar(destination, sidecar, policy, facts, retryRules, signal, begin)
    } catch (err) {
      signal.throwIfAborted()
      log.warn({ taskId: facts.target.marks.taskId, sidecar, err }, 'sidecar could not be written')
      warnings.push(notWritten(SIDECAR_ENDINGS[sidecar], err))
    }
  }
  return { sidecars, warnings }
}

/** @returns where it is */
async function writeSidecar(
  destination: Destination,
  sidecar: Sidecar,
  policy: IfExists,
  facts: ManifestFacts,
  retryRules: RetryRules,
  signal: AbortSignal,
  begin: () => void
): Promise<string> {
  const { target } = facts
  const { mediaType, text } = sidecarText(sidecar, facts)
  const url = besideIt(target.url, SIDECAR_ENDINGS[sidecar])
  const place = await placeOf(destination, sidecar, policy, facts, text, signal)
  if (place === 'keep') return url.href
  begin()
  const bytes = Buffer.from(text)
  const object = { ...target.object, replace: place === 'replace' }
  const retries = new Retries(retryRules, { length: bytes.length, parts: 1 })
  return writeSmall(destination, { ...target, url, object, mediaType }, bytes, signal, retries)
}

/** What is to be done where a small object is to stand. */
type Place = 'write' | 'replace' | 'keep'

/**
 * Somebody else's is not replaced unless the task says so. One that says the same of the object stays, whoever wrote it: so
 * does the manifest of an object that is reused.
 * @throws DestinationError DEST_OBJECT_EXISTS
 */
async function placeOf(
  destination: Destination,
  sidecar: Sidecar,
  policy: IfExists,
  { target, sent }: ManifestFacts,
  text: string,
  signal: AbortSignal
): Promise<Place> {
  const beside = { ...target, url: besideIt(target.url, SIDECAR_ENDINGS[sidecar]) }
  if (policy === 'replace' || hasOwnName(target)) return 'replace'
  const found = await destination.find(beside, signal)
  if (found.status !== 'present') return 'write'
  const standing = await readSmall(destination, beside, signal)
  if (standing === text) return 'keep'
  if (found.exportId === target.marks.exportId) return 'replace'
  const manifest = sidecar === 'manifest' && standing !== undefined ? understoodManifest(standing) : undefined
  if (manifest?.exportId === target.marks.exportId) return 'replace'
  const same = manifest?.contentId === target.marks.contentId && manifest.file.bytes === sent.bytes
  if (policy === 'reuse' && same) return 'keep'
  throw failure('sidecarExists', placeName(target.url))
}

const notWritten = (ending: string, error: unknown): Warning => ({
  code: 'SIDECAR_NOT_WRITTEN',
  message: `The object ${ending} was not written: ${error instanceof ExportError ? error.message : 'the operator can see why in the log.'}`
})
