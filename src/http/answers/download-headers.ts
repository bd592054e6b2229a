import type { TempUrl } from '../../temp-urls/ports.ts'
import type { ByteRange, Validators } from './conditional.ts'

export const validatorsOf = ({ sha256, createdAt }: Pick<TempUrl, 'sha256' | 'createdAt'>): Validators => ({
  etag: `"${sha256}"`,
  lastModified: createdAt
})

/** Of every answer about the file, whatever part of it is sent. */
export const fileHeaders = (
  tempUrl: Pick<TempUrl, 'sha256' | 'createdAt' | 'fileName'>,
  query: { readonly filename?: unknown; readonly inline?: unknown }
): Record<string, string> => {
  const name = typeof query.filename === 'string' && query.filename !== '' ? query.filename : tempUrl.fileName
  return {
    etag: validatorsOf(tempUrl).etag,
    'last-modified': tempUrl.createdAt.toUTCString(),
    // RFC 9530: of the whole file, also with a range of it.
    'repr-digest': `sha-256=:${Buffer.from(tempUrl.sha256, 'hex').toString('base64')}:`,
    'content-disposition': disposition(query.inline === undefined ? 'attachment' : 'inline', name),
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-store'
  }
}

export const contentRange = ({ from, to }: ByteRange, length: number): string => `bytes ${from}-${to - 1}/${length}`

/**
 * With the name in ASCII for old clients, and in full.
 * @see https://www.rfc-editor.org/rfc/rfc6266 Content-Disposition, https://www.rfc-editor.org/rfc/rfc8187 its encoding
 */
export function disposition(kind: 'attachment' | 'inline', name: string): string {
  const safe = name
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, '')
    .replaceAll(/[/\\]/g, '_')
  const ascii = safe.replaceAll(/[^\x20-\x7e]|["%]/g, '_')
  const encoded = encodeURIComponent(safe).replaceAll(
    /['()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`
  )
  return `${kind}; filename="${ascii}"; filename*=UTF-8''${encoded}`
}
