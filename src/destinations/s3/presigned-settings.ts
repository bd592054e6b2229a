import { credentialsInvalid, textField } from '../credentials.ts'
import type { Credentials } from '../destination.ts'
import { parseServiceUrl } from '../target.ts'
import type { S3Object } from './object.ts'

/** URLs that somebody with keys has signed: for one PUT of the whole object, or for one multipart upload that was begun. */
export type Presigned =
  | { readonly form: 'put'; readonly put: SignedUrl }
  | {
      readonly form: 'multipart'
      /** In the order of the parts, the first being part 1. */
      readonly parts: readonly [SignedUrl, ...SignedUrl[]]
      readonly complete: SignedUrl
      readonly abort: SignedUrl | undefined
      readonly partBytes: number | undefined
    }

export type SignedUrl = {
  readonly url: URL
  /** When the signature ends, where the URL says so. */
  readonly until: Date | undefined
}

/** All URLs that a set has. */
export const signedUrls = (presigned: Presigned): readonly SignedUrl[] =>
  presigned.form === 'put'
    ? [presigned.put]
    : [...presigned.parts, presigned.complete, ...(presigned.abort === undefined ? [] : [presigned.abort])]

export const isPresigned = (credentials: Credentials | undefined): credentials is Credentials =>
  credentials?.kind === 's3_presigned'

/**
 * Reads credentials of the kind s3_presigned. All URLs have to be about the object of `export_to`, and those of a multipart
 * upload about one upload: a mix-up would be found at the last part otherwise.
 * @throws DestinationInvalid DEST_CREDENTIALS_INVALID or DEST_URL_INVALID
 */
export function readPresigned(credentials: Credentials, object: S3Object): Presigned {
  const { put_url: put, parts, complete_url: complete, abort_url: abort, part_bytes: partBytes } = credentials
  const read = (text: unknown, field: string) => readSigned(text, field, object)
  if (put !== undefined) {
    if ([parts, complete, abort, partBytes].some((given) => given !== undefined))
      throw credentialsInvalid('put_url', 'give either put_url, or parts and complete_url')
    return { form: 'put', put: read(textField(credentials, 'put_url'), 'put_url') }
  }
  if (!Array.isArray(parts)) throw credentialsInvalid('put_url', 'give either put_url, or parts and complete_url')
  const [first, ...rest] = parts.map((text, index) => read(text, `parts/${index}`))
  if (first === undefined) throw credentialsInvalid('parts', 'parts needs at least one URL')
  const multipart = {
    form: 'multipart',
    parts: [first, ...rest] as const,
    complete: read(textField(credentials, 'complete_url'), 'complete_url'),
    abort: abort === undefined ? undefined : read(abort, 'abort_url'),
    partBytes: typeof partBytes === 'number' ? partBytes : undefined
  } as const
  checkSameUpload(multipart)
  return multipart
}

function checkSameUpload({ parts, complete, abort }: Extract<Presigned, { form: 'multipart' }>): void {
  const upload = ({ url }: SignedUrl) => `${url.origin}${url.pathname} ${url.searchParams.get('uploadId')}`
  for (const [index, { url }] of parts.entries()) {
    if (url.searchParams.get('partNumber') !== String(index + 1))
      throw credentialsInvalid(`parts/${index}`, `this URL has to be signed with partNumber=${index + 1}`)
  }
  if (complete.url.searchParams.get('uploadId') === null)
    throw credentialsInvalid('complete_url', 'it has to be signed with an uploadId')
  for (const [field, signed] of [
    ...parts.map((part, at) => [`parts/${at}`, part] as const),
    ['abort_url', abort]
  ] as const)
    if (signed !== undefined && upload(signed) !== upload(complete))
      throw credentialsInvalid(field, 'it belongs to another upload than complete_url')
}

function readSigned(text: unknown, field: string, { bucket, key }: S3Object): SignedUrl {
  const url = readUrl(String(text), field)
  const path = decodeURIComponent(url.pathname)
  const named = path === `/${key}` || path.endsWith(`/${bucket}/${key}`)
  if (!named) throw credentialsInvalid(field, 'it is signed for another object than export_to names')
  const query = url.searchParams
  if (!query.has('X-Amz-Signature') && !query.has('Signature'))
    throw credentialsInvalid(field, 'it has no signature (X-Amz-Signature)')
  const headers = query.get('X-Amz-SignedHeaders') ?? 'host'
  if (headers !== 'host')
    throw credentialsInvalid(
      field,
      'it is signed with headers that are not known here; sign it with the header host only'
    )
  return { url, until: signedUntil(query) }
}

/** RFC 3986 query. */
const QUERY = /^(?:[a-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9a-f]{2}){1,8000}$/i

/** By the rules for every URL of a service, but with a query. */
function readUrl(text: string, field: string): URL {
  const [base = '', ...rest] = text.split('?')
  const query = rest.join('?')
  const url = parseServiceUrl(base, `/export_to_credentials/${field}`)
  if (!QUERY.test(query)) throw credentialsInvalid(field, 'it needs a query with a signature, percent-encoded')
  url.search = query
  return url
}

/** The end of a signature of version 4 (`X-Amz-Date`, `X-Amz-Expires`) or 2 (`Expires`). */
function signedUntil(query: URLSearchParams): Date | undefined {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get('X-Amz-Date') ?? '') ?? []
  const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  const until = query.has('Expires')
    ? Number(query.get('Expires')) * 1000
    : signedAt + Number(query.get('X-Amz-Expires') ?? Number.NaN) * 1000
  return Number.isFinite(until) && Math.abs(until) < 8.64e15 ? new Date(until) : undefined
}
