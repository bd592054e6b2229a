import type { Destination, UploadTarget } from '../../destinations/destination.ts'
import { KiB } from '../../domain/bytes.ts'
import { isPermanent } from '../../domain/errors.ts'
import type { ScrubReport } from '../../domain/scrub-report.ts'
import type { ExportRequest, SentFile, Verified } from '../../domain/task.ts'
import type { SourceIdentity } from '../ports.ts'
import { besideIt } from '../requests/key-template.ts'
import { toldReport } from './told-report.ts'

export const MANIFEST_ENDING = '.manifest.json'

/** What a manifest tells; only what is known of this export. */
export type ManifestFacts = {
  readonly target: UploadTarget
  readonly request: ExportRequest
  readonly source: SourceIdentity
  readonly sent: SentFile
  readonly etag: string | undefined
  readonly virtualSize: number
  readonly verify: Verified | undefined
  /** Of the image, that may be told. */
  readonly properties: Readonly<Record<string, string>>
  readonly scrubReport: ScrubReport | null
  readonly createdAt: Date
}

/** The text of `<key>.manifest.json`: JSON, so that it can be read by programs, in lines, so that people can read it. */
export function manifestText({ target, request, source, sent, ...facts }: ManifestFacts): string {
  const { marks } = target
  const manifest = {
    version: 1,
    task_id: marks.taskId,
    export_id: marks.exportId,
    created_at: facts.createdAt.toISOString(),
    source: {
      image_id: request.imageId,
      disk_format: source.diskFormat,
      size: source.size,
      os_hash_algo: 'sha512',
      os_hash_value: source.sha512,
      ...(Object.keys(facts.properties).length > 0 && { properties: facts.properties })
    },
    artifact: {
      key: fileName(target.url),
      location: target.url.href,
      format: request.exportFormat,
      format_options: request.formatOptions,
      bytes: sent.bytes,
      virtual_size: facts.virtualSize,
      ...(sent.sha256 !== null && { sha256: sent.sha256 }),
      ...sent.checksums,
      ...(sent.composite && {
        composite_checksum: { sha256: sent.composite.sha256, part_bytes: sent.composite.partBytes }
      }),
      ...(sent.contentHash && { content_hash: sent.contentHash }),
      content_id: marks.contentId,
      ...(facts.etag !== undefined && { etag: facts.etag })
    },
    ...(facts.verify && { verify: { level: facts.verify.level, ok: facts.verify.ok } }),
    ...(facts.scrubReport && { scrub: toldReport(facts.scrubReport) }),
    tool: { name: 'glance-export' }
  }
  return `${JSON.stringify(manifest, null, 2)}\n`
}

/** The last segment of the URL's path, as people write it. */
export const fileName = (url: URL): string => decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf('/') + 1))

/** What a manifest found beside an object says; whoever may write there may have written anything. */
export type FoundManifest = {
  readonly contentId: string
  readonly exportId: string | undefined
  /** `parts` 0: it was not sent by this task. */
  readonly file: SentFile
}

const MAX_BYTES = 256 * KiB

/** The manifest beside the object at `target`, or undefined when there is none that can be read. */
export async function findManifest(
  destination: Pick<Destination, 'find' | 'read'>,
  target: UploadTarget,
  signal: AbortSignal
): Promise<FoundManifest | undefined> {
  const text = await readSmall(destination, { ...target, url: besideIt(target.url, MANIFEST_ENDING) }, signal)
  return text === undefined ? undefined : understoodManifest(text)
}

/** The text of a small object; undefined where there is none that can be read, or a large one. */
export async function readSmall(
  destination: Pick<Destination, 'find' | 'read'>,
  target: UploadTarget,
  signal: AbortSignal
): Promise<string | undefined> {
  try {
    const found = await destination.find(target, signal)
    const length = found.status === 'present' ? (found.length ?? 0) : 0
    if (length === 0 || length > MAX_BYTES) return undefined
    const chunks: Buffer[] = []
    for await (const chunk of destination.read(target, { from: 0, to: length }, signal)) chunks.push(Buffer.from(chunk))
    return Buffer.concat(chunks).toString('utf8')
  } catch (error) {
    signal.throwIfAborted()
    if (isPermanent(error)) return undefined
    throw error
  }
}

/** Undefined for what is none of ours. */
export function understoodManifest(text: string): FoundManifest | undefined {
  const manifest = fieldsOf(parsed(text))
  const artifact = fieldsOf(manifest.artifact)
  const { content_id: contentId, bytes } = artifact
  if (typeof contentId !== 'string' || typeof bytes !== 'number') return undefined
  const sha256 = hexOf(artifact.sha256, 32) ?? null
  const sha512 = hexOf(artifact.sha512, 64)
  const md5 = hexOf(artifact.md5, 16)
  const { algo, value } = fieldsOf(artifact.content_hash)
  const { sha256: ofParts, part_bytes: partBytes } = fieldsOf(artifact.composite_checksum)
  const composite = hexOf(ofParts, 32)
  return {
    contentId,
    exportId: typeof manifest.export_id === 'string' ? manifest.export_id : undefined,
    file: {
      bytes,
      sha256,
      composite: composite && typeof partBytes === 'number' && partBytes > 0 ? { sha256: composite, partBytes } : null,
      parts: 0,
      checksums: { ...(sha512 && { sha512 }), ...(md5 && { md5 }) },
      ...(typeof algo === 'string' && typeof value === 'string' && { contentHash: { algo, value } })
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> => Object(value)

const hexOf = (value: unknown, bytes: number): string | undefined =>
  typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]+$/.test(value) ? value : undefined
