import { createHash } from 'node:crypto'

/** A strong ETag of an answer: equal for equal bytes, and only for those. */
export const etagOf = (text: string): string =>
  `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`

/** Whether a list of ETags, or `*`, names this one. `weakly`: as If-None-Match compares, RFC 9110 section 8.8.3.2. */
export function namesEtag(header: string, etag: string, weakly: 'weakly' | '' = ''): boolean {
  if (header.trim() === '*') return true
  const listed = header.split(',').map((one) => one.trim())
  return listed.some((one) => (weakly ? one.replace(/^W\//, '') : one) === etag)
}
