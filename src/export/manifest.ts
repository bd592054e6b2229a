import type { Destination, UploadTarget } from '../destinations/destination.ts'
import { KiB } from '../domain/bytes.ts'
import { ExportError } from '../domain/errors.ts'
import type { ExportRequest, SentFile, Verified } from '../domain/task.ts'
import { besideIt } from './key-template.ts'
import type { SourceIdentity } from './ports.ts'

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
      os_hash_value: source.sha512
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
    tool: { name: 'glance-export' }
  }
  return `${JSON.stringify(manifest, null, 2)}\n`
}

/** The last segment of the URL's path, as people write it. */
export const fileName = (url: URL): string => decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf('/') + 1))

/** What a manifest found beside an object says; whoever may write there may have written anything. */
export type FoundManifest = { readonly contentId: string; readonly bytes: number; readonly sha256: string | null }

const MAX_BYTES = 64 * KiB

/** The manifest beside the object at `target`, or undefined when there is none that can be read. */
export async function findManifest(
  destination: Pick<Destination, 'find' | 'read'>,
  target: UploadTarget,
  signal: AbortSignal
): Promise<FoundManifest | undefined> {
  const beside = { ...target, url: besideIt(target.url, MANIFEST_ENDING) }
  try {
    return understood(await readText(destination, beside, signal))
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof ExportError && error.permanent) return undefined
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

async function readText(
  destination: Pick<Destination, 'find' | 'read'>,
  target: UploadTarget,
  signal: AbortSignal
): Promise<string> {
  const found = await destination.find(target, signal)
  const length = found.status === 'present' ? (found.length ?? 0) : 0
  if (length === 0 || length > MAX_BYTES) return 'null'
  const chunks: Buffer[] = []
  for await (const chunk of destination.read(target, { from: 0, to: length }, signal)) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8')
}

function understood(text: string): FoundManifest | undefined {
  const { artifact } = Object(JSON.parse(text)) as { artifact?: unknown }
  const { content_id: contentId, bytes, sha256 } = Object(artifact) as Record<string, unknown>
  if (typeof contentId !== 'string' || typeof bytes !== 'number') return undefined
  return { contentId, bytes, sha256: typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : null }
}
