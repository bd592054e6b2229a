import type { FastifyRequest } from 'fastify'
import type { OnceAsked } from '../../export/once.ts'
import { invalidRequest, RequestRefused } from './request-refused.ts'

const HEADER = 'Idempotency-Key'
const MAX_KEY = 255

/**
 * The key of a request that its client may send twice: the header, or `client_token` of the body.
 * @see https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
 * @throws RequestRefused for a key that is none, and for two that differ
 */
export function onceOf({ method, url, headers, body }: FastifyRequest): OnceAsked | undefined {
  const header = headers['idempotency-key']
  const fromHeader = header === undefined ? undefined : readKey(String(header))
  const fromBody = clientToken(body)
  if (fromHeader !== undefined && fromBody !== undefined && fromHeader !== fromBody.token) {
    throw invalidRequest([{ pointer: fromBody.pointer, message: `is not the key of the header ${HEADER}` }])
  }
  const key = fromHeader ?? fromBody?.token
  return key === undefined ? undefined : { operation: `${method} ${url.split('?')[0]}`, key, body }
}

/** A string of RFC 9651 section 3.3.3, in quotes; without them, as most clients send it, too. */
function readKey(text: string): string {
  const quoted = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/.exec(text)?.[1]?.replaceAll(/\\(["\\])/g, '$1')
  const key = quoted ?? (/^[!#-~]+$/.test(text) ? text : '')
  if (key !== '' && key.length <= MAX_KEY) return key
  throw new RequestRefused(
    400,
    `${HEADER} must have 1 to ${MAX_KEY} printable ASCII characters, in quotes if it has spaces.`
  )
}

function clientToken(body: unknown): { token: string; pointer: string } | undefined {
  const { client_token: flat, input } = Object(body)
  if (typeof flat === 'string') return { token: flat, pointer: '/client_token' }
  const nested = Object(input).client_token
  return typeof nested === 'string' ? { token: nested, pointer: '/input/client_token' } : undefined
}
