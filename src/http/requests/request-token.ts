import type { TSchema } from 'typebox'
import type { Credentials } from '../../destinations/destination.ts'
import { invalidRequest } from './request-refused.ts'

/** Stands for the token that the request itself was made with. */
export const REQUEST_TOKEN = 'request_token'

type ObjectSchema = {
  readonly properties: Readonly<Record<string, { readonly const?: unknown }>>
  readonly required?: readonly string[]
}

/** The credentials of the kind `token` without the token itself; nothing where no destination takes a token. */
export function requestTokenSchemas(schemas: readonly TSchema[]): TSchema[] {
  const token = (schemas as unknown as ObjectSchema[]).find(({ properties }) => properties.kind?.const === 'token')
  if (!token) return []
  const { token: _token, ...properties } = token.properties
  return [
    {
      ...token,
      properties: { ...properties, kind: { ...properties.kind, const: REQUEST_TOKEN } },
      required: (token.required ?? []).filter((name) => name !== 'token')
    } as TSchema
  ]
}

/** The credentials with the caller's token in them, where they ask for it. */
export function withRequestToken<Body extends { readonly credentials?: Credentials }>(
  body: Body,
  token: string | string[] | undefined
): Body {
  const { credentials } = body
  if (credentials?.kind !== REQUEST_TOKEN) return body
  if (typeof token !== 'string' || token === '') {
    throw invalidRequest([{ pointer: '/export_to_credentials/kind', message: 'needs a request with X-Auth-Token' }])
  }
  return { ...body, credentials: { ...credentials, kind: 'token', token } }
}
