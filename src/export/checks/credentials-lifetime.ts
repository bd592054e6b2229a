import type { Credentials } from '../../destinations/destination.ts'

/**
 * Until when credentials are good, where they say so themselves: the signed query of a URL (S3, Google, Swift, Azure), or an
 * `expires_at` beside a session. Undefined where nobody can know.
 */
export function expiryOf(credentials: Credentials | undefined): Date | undefined {
  if (!credentials) return undefined
  const told = dateOf(credentials.expires_at ?? credentials.temp_url_expires)
  if (told) return told
  if (credentials.kind === 'bearer') return expiryOfToken(credentials.token)
  // Anything may stand in a password.
  if (!/presigned|temp_?url/.test(credentials.kind)) return undefined
  const signed = textsIn(credentials).flatMap((text) => (text.includes('=') ? (expiryOfQuery(text) ?? []) : []))
  return signed.sort((a, b) => a.getTime() - b.getTime())[0]
}

/** A JSON Web Token says it among its claims (RFC 7519 4.1.4); others say nothing. */
function expiryOfToken(token: unknown): Date | undefined {
  const [, claims] = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(String(token)) ?? []
  if (claims === undefined) return undefined
  try {
    return dateOf(Object(JSON.parse(Buffer.from(claims, 'base64url').toString())).exp)
  } catch {
    return undefined
  }
}

/** Signed URLs of a multipart upload stand in lists. */
const textsIn = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : typeof value === 'object' && value ? Object.values(value).flatMap(textsIn) : []

/** The query of a pre-signed URL, with or without what stands before it. */
function expiryOfQuery(text: string): Date | undefined {
  const query = new URLSearchParams(text.slice(text.indexOf('?') + 1))
  const get = (name: string) => query.get(name) ?? undefined
  for (const vendor of ['Amz', 'Goog']) {
    const signedAt = dateOf(get(`X-${vendor}-Date`))
    const seconds = Number(get(`X-${vendor}-Expires`))
    if (signedAt && seconds > 0) return new Date(signedAt.getTime() + seconds * 1000)
  }
  return dateOf(get('temp_url_expires')) ?? dateOf(get('se')) ?? dateOf(get('Expires'))
}

/** Seconds since 1970, ISO 8601, or the basic form that signatures use. */
function dateOf(value: unknown): Date | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined
  const text = String(value)
  const basic = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  const date = basic
    ? new Date(`${basic.slice(1, 4).join('-')}T${basic.slice(4, 7).join(':')}Z`)
    : /^\d{9,11}$/.test(text)
      ? new Date(Number(text) * 1000)
      : new Date(/^\d{4}-\d\d-\d\d/.test(text) ? text : Number.NaN)
  return Number.isNaN(date.getTime()) ? undefined : date
}
