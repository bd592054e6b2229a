import { DestinationInvalid } from '../domain/destination-errors.ts'
import { credentialsInvalid } from './credentials.ts'
import type { Credentials } from './destination.ts'
import { readHost } from './host.ts'

const MAX_LENGTH = 2048
/** RFC 3986: `scheme://authority/path`. What follows `?` or `#` was refused before this is used. */
const SHAPE = /^([a-z][a-z0-9+.-]*):\/\/([^/]*)(\/.*)?$/i
const AUTHORITY = /^(\[[^\]]*\]|[^:[\]]*)(?::([0-9]*))?$/
/** RFC 3986 pchar. */
const SEGMENT = /^(?:[a-z0-9\-._~!$&'()*+,;=:@]|%[0-9a-f]{2})+$/i
/** `.`, `/`, `\`, NUL and the other control characters, percent-encoded: some servers decode them before they split the path. */
const DANGEROUS_ESCAPE = /%(?:2e|2f|5c|[01][0-9a-f]|7f)/i

/** Session tokens make pre-signed URLs long. */
const MAX_QUERY_LENGTH = 8192
/** RFC 3986 query; without the apostrophe, which `URL` would write in another way than it was signed. */
const QUERY = /^(?:[a-z0-9\-._~!$&()*+,;=:@/?]|%[0-9a-f]{2})+$/i

/** `export_to` as it may be stored and shown, and what has to be sealed with it. */
export type PublicTarget = { readonly exportTo: string; readonly credentials: Credentials | undefined }

/**
 * Takes the query out of `export_to` before anybody stores, logs or shows it: in a pre-signed URL it is the credential. Call
 * this first, then `parseTarget(result.exportTo)`; the driver puts the query back when it sends.
 *
 * - `https://h/o?sig=x`, no credentials: `https://h/o` and `{ kind: 'presigned', query: 'sig=x' }`
 * - `https://h/o?sig=x`, `{ kind: 'presigned', ...more }`: the same with `...more` kept
 * - without a query: both as they are
 *
 * @throws DestinationInvalid DEST_URL_INVALID at /export_to: a query that is empty, malformed, or of another scheme than http
 *   and https; DEST_CREDENTIALS_INVALID: a query beside credentials of another kind, or beside a second query
 */
export function splitSecretQuery(exportTo: string, credentials: Credentials | undefined): PublicTarget {
  const at = exportTo.indexOf('?')
  if (at < 0) return { exportTo, credentials }
  const refuse = (why: string) => invalid('/export_to', why)
  const query = exportTo.slice(at + 1)
  if (!/^https?:/i.test(exportTo)) throw refuse('a query (?) is for pre-signed http and https URLs only')
  checkQuery(query, refuse)
  if (credentials !== undefined && credentials.kind !== 'presigned') {
    throw credentialsInvalid(
      'kind',
      'a pre-signed URL is the credential itself; leave them out, or the query in export_to'
    )
  }
  if (credentials?.query !== undefined) throw credentialsInvalid('query', 'the query is in export_to already')
  return { exportTo: exportTo.slice(0, at), credentials: { ...credentials, kind: 'presigned', query } }
}

/** @param refuse makes the error to be thrown of a reason */
export function checkQuery(query: string, refuse: (why: string) => DestinationInvalid): void {
  if (query.length > MAX_QUERY_LENGTH) throw refuse(`a query may have at most ${MAX_QUERY_LENGTH} characters`)
  if (!QUERY.test(query)) {
    throw refuse('other characters in the query than letters, digits and -._~!$&()*+,;=:@/? have to be percent-encoded')
  }
}

/**
 * Reads `export_to`, strictly and before `new URL` sees it: `new URL` turns `http://2130706433/` into 127.0.0.1 and
 * `s3://bucket/../other` into another bucket.
 * @throws DestinationInvalid DEST_URL_INVALID at /export_to
 */
export function parseTarget(exportTo: string): URL {
  return parseStrictly(exportTo, '/export_to')
}

/**
 * Reads a URL of a service given among the credentials, by the same rules; http and https only, no path.
 * @throws DestinationInvalid DEST_URL_INVALID at `pointer`
 */
export function parseEndpoint(text: string, pointer: string): URL {
  const url = parseStrictly(text, pointer)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid(pointer, 'it has to be an http or https URL')
  if (url.pathname !== '/') throw invalid(pointer, 'it may not have a path')
  return url
}

/**
 * As parseEndpoint, for services that are known by a URL with a path, such as a login service.
 * @throws DestinationInvalid DEST_URL_INVALID at `pointer`
 */
export function parseServiceUrl(text: string, pointer: string): URL {
  const url = parseStrictly(text, pointer)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid(pointer, 'it has to be an http or https URL')
  return url
}

/** The URL of the object to be written: `<target>/<exportId>`. */
export function objectUrl(target: URL, exportId: string): URL {
  const url = new URL(target)
  url.pathname = `${target.pathname.replace(/\/$/, '')}/${exportId}`
  return url
}

const invalid = (pointer: string, why: string): DestinationInvalid =>
  new DestinationInvalid('DEST_URL_INVALID', pointer, `${pointer.slice(pointer.lastIndexOf('/') + 1)}: ${why}.`)

function parseStrictly(text: string, pointer: string): URL {
  const refuse = (why: string) => invalid(pointer, why)
  if (text.length > MAX_LENGTH) throw refuse(`a URL may have at most ${MAX_LENGTH} characters`)
  if (!/^[\x21-\x7e]+$/.test(text)) throw refuse('only printable ASCII characters without spaces are allowed')
  if (text.includes('\\')) throw refuse('a backslash is not allowed')
  if (text.includes('#')) throw refuse('a fragment (#) is not allowed')
  if (text.includes('?')) {
    throw refuse('a query (?) is for pre-signed http and https URLs only')
  }

  const [, scheme, authority = '', path = ''] = SHAPE.exec(text) ?? []
  if (scheme === undefined) throw refuse('a URL of the form scheme://host/path is expected')
  if (authority.includes('@')) {
    throw refuse('credentials inside the URL are not allowed; send them as export_to_credentials')
  }
  // `file` is the one scheme that names no host.
  if (scheme.toLowerCase() === 'file') {
    if (authority !== '') throw refuse('a file URL names no host: file:///folder')
  } else {
    checkAuthority(authority, refuse)
  }
  checkPath(path, refuse)

  const url = URL.parse(text)
  if (url === null) throw refuse('a URL of the form scheme://host/path is expected')
  return url
}

function checkAuthority(authority: string, refuse: (why: string) => DestinationInvalid): void {
  const [, host = '', port] = AUTHORITY.exec(authority) ?? []
  if (readHost(host).kind === 'invalid') {
    throw refuse(
      'the host has to be a DNS name, an IPv4 address of four decimal numbers or an IPv6 address in brackets'
    )
  }
  if (port !== undefined && !(/^[1-9][0-9]{0,4}$/.test(port) && Number(port) <= 65535)) {
    throw refuse('the port has to be a number from 1 to 65535')
  }
}

function checkPath(path: string, refuse: (why: string) => DestinationInvalid): void {
  if (DANGEROUS_ESCAPE.test(path)) {
    throw refuse('a dot, a slash, a backslash and control characters may not be percent-encoded in the path')
  }
  const segments = path.replace(/\/$/, '').split('/').slice(1)
  for (const segment of segments) {
    if (segment === '') throw refuse('empty path segments (//) are not allowed')
    if (segment === '.' || segment === '..') throw refuse('the path segments . and .. are not allowed')
    if (!SEGMENT.test(segment) || !isUtf8(segment)) {
      throw refuse("other characters than letters, digits and -._~!$&'()*+,;=:@ have to be percent-encoded as UTF-8")
    }
  }
}

function isUtf8(segment: string): boolean {
  try {
    decodeURIComponent(segment)
    return true
  } catch {
    return false
  }
}
