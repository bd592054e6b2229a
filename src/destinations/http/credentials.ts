import { type TSchema, Type } from 'typebox'
import { credentialsInvalid, textField } from '../credentials.ts'
import type { Credentials } from '../destination.ts'

const text = (description: string) => Type.String({ minLength: 1, maxLength: 8192, description })
const closed = { additionalProperties: false } as const

export const HTTP_CREDENTIALS: readonly TSchema[] = [
  Type.Object(
    {
      kind: Type.Literal('basic'),
      username: text('Without a colon'),
      password: text('Sent with HTTP basic authentication')
    },
    closed
  ),
  Type.Object({ kind: Type.Literal('bearer'), token: text('Sent as Authorization: Bearer') }, closed),
  Type.Object(
    { kind: Type.Literal('header'), name: text('Name of a request header'), value: text('Its value') },
    closed
  )
]

/** RFC 9110 token. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,128}$/i
const VISIBLE_ASCII = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
/** Headers that frame the request, steer the connection or are ours: a user's value could smuggle a second request. */
const RESERVED =
  /^(?:host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|range|if-.*|proxy-.*|forwarded|x-forwarded-.*|x-http-method.*|x-method-override)$/i

/**
 * The request header that carries the credentials.
 * @throws DestinationInvalid DEST_CREDENTIALS_INVALID
 */
export function authorization(credentials: Credentials | undefined): Readonly<Record<string, string>> {
  switch (credentials?.kind) {
    case undefined:
      return {}
    case 'basic':
      return { authorization: `Basic ${basic(credentials)}` }
    case 'bearer':
      return { authorization: `Bearer ${headerValue(credentials, 'token')}` }
    case 'header':
      return { [headerName(credentials)]: headerValue(credentials, 'value') }
    default:
      throw credentialsInvalid('kind', 'http and https take the kinds basic, bearer and header')
  }
}

/** RFC 7617, as UTF-8. */
function basic(credentials: Credentials): string {
  const username = textField(credentials, 'username')
  if (username.includes(':')) throw credentialsInvalid('username', 'username may not contain a colon')
  return Buffer.from(`${username}:${textField(credentials, 'password')}`).toString('base64')
}

function headerName(credentials: Credentials): string {
  const name = textField(credentials, 'name')
  if (!HEADER_NAME.test(name)) throw credentialsInvalid('name', 'name is not the name of an HTTP header')
  if (RESERVED.test(name)) throw credentialsInvalid('name', 'this header is set by the service and cannot be given')
  return name.toLowerCase()
}

function headerValue(credentials: Credentials, field: string): string {
  const value = textField(credentials, field)
  if (!VISIBLE_ASCII.test(value)) throw credentialsInvalid(field, `${field} may hold printable ASCII characters only`)
  return value
}
