import { type TProperties, type TSchema, Type } from 'typebox'
import { credentialsInvalid, textField } from '../credentials.ts'
import type { Credentials } from '../destination.ts'
import { checkQuery } from '../target.ts'
import { CLIENT_CERTIFICATE_FIELDS, readTlsOptions, TLS_FIELD, type TlsOptions } from '../tls.ts'

const text = (description: string) => Type.String({ minLength: 1, maxLength: 8192, description })

const kind = (name: string, fields: TProperties, description: string): TSchema =>
  Type.Object(
    {
      kind: Type.Literal(name),
      ...fields,
      method: Type.Optional(
        Type.Enum(['PUT', 'POST'], { description: 'Request that sends the file; PUT when left out' })
      ),
      tls: TLS_FIELD
    },
    { additionalProperties: false, description }
  )

export const HTTP_CREDENTIALS: readonly TSchema[] = [
  kind('none', {}, 'No login, for a method or tls of its own'),
  kind('basic', { username: text('Without a colon'), password: text('Its password') }, 'HTTP basic authentication'),
  kind('bearer', { token: text('Sent as Authorization: Bearer') }, 'A token'),
  kind('header', { name: text('Name of a request header'), value: text('Its value') }, 'A header of its own'),
  kind('mtls', CLIENT_CERTIFICATE_FIELDS, 'A client certificate'),
  kind(
    'presigned',
    {
      query: Type.Optional(text('What follows ? in the pre-signed URL; may stand in export_to instead')),
      headers: Type.Optional(
        Type.Record(Type.String({ pattern: '^[A-Za-z0-9-]{1,128}$' }), text('Its value'), {
          maxProperties: 16,
          description: 'Headers that were signed, such as Content-Type or x-ms-blob-type'
        })
      )
    },
    'A URL signed for one object: export_to is its whole URL'
  )
]

/** How requests to one target are made. */
export type Access = {
  readonly method: 'PUT' | 'POST'
  /** What carries the credentials. */
  readonly headers: Readonly<Record<string, string>>
  /** The signature of a pre-signed URL, with its question mark; else empty. */
  readonly query: string
  /** Whether secrets are sent. */
  readonly secret: boolean
  readonly tls: TlsOptions | undefined
}

/**
 * Reads credentials of the kinds for http and https.
 * @throws DestinationInvalid DEST_CREDENTIALS_INVALID
 */
export function readAccess(credentials: Credentials | undefined): Access {
  return {
    method: credentials?.method === 'POST' ? 'POST' : 'PUT',
    headers: headersOf(credentials),
    query: credentials?.kind === 'presigned' ? queryOf(credentials) : '',
    secret: credentials !== undefined && credentials.kind !== 'none',
    tls: readTlsOptions(credentials)
  }
}

function headersOf(credentials: Credentials | undefined): Readonly<Record<string, string>> {
  switch (credentials?.kind) {
    case undefined:
    case 'none':
    case 'mtls':
      return {}
    case 'basic':
      return { authorization: `Basic ${basic(credentials)}` }
    case 'bearer':
      return { authorization: `Bearer ${headerValue(credentials, 'token')}` }
    case 'header':
      return { [headerName(textField(credentials, 'name'), 'name')]: headerValue(credentials, 'value') }
    case 'presigned':
      return signedHeaders(credentials)
    default:
      throw credentialsInvalid('kind', 'http and https take the kinds none, basic, bearer, header, mtls and presigned')
  }
}

function queryOf(credentials: Credentials): string {
  if (credentials.query === undefined) {
    throw credentialsInvalid('query', 'a pre-signed URL has a query: leave it in export_to, or give it as query')
  }
  const query = textField(credentials, 'query')
  checkQuery(query, (why) => credentialsInvalid('query', why))
  return `?${query}`
}

function signedHeaders({ kind, headers }: Credentials): Record<string, string> {
  const given = Object.entries((headers ?? {}) as Record<string, unknown>)
  return Object.fromEntries(
    given.map(([name, value]) => {
      const field = `headers/${name}`
      // The one header about the content that may be chosen: it is often signed.
      const allowed = name.toLowerCase() === 'content-type' ? 'content-type' : headerName(name, field)
      return [allowed, headerValue({ kind, [field]: value }, field)]
    })
  )
}

/** RFC 9110 token. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,128}$/i
const VISIBLE_ASCII = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
/** Headers that frame the request, steer the connection or are ours: a user's value could smuggle a second request. */
const RESERVED =
  /^(?:host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|range|if-.*|proxy-.*|forwarded|x-forwarded-.*|x-http-method.*|x-method-override)$/i

/** RFC 7617, as UTF-8. */
function basic(credentials: Credentials): string {
  const username = textField(credentials, 'username')
  if (username.includes(':')) throw credentialsInvalid('username', 'username may not contain a colon')
  return Buffer.from(`${username}:${textField(credentials, 'password')}`).toString('base64')
}

function headerName(name: string, field: string): string {
  if (!HEADER_NAME.test(name)) throw credentialsInvalid(field, `${field} is not the name of an HTTP header`)
  if (RESERVED.test(name)) throw credentialsInvalid(field, 'this header is set by the service and cannot be given')
  return name.toLowerCase()
}

function headerValue(credentials: Credentials, field: string): string {
  const value = textField(credentials, field)
  if (!VISIBLE_ASCII.test(value)) throw credentialsInvalid(field, `${field} may hold printable ASCII characters only`)
  return value
}
