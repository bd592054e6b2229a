import { Readable } from 'node:stream'
import { MiB } from '../../domain/bytes.ts'
import type { Connections } from '../connection.ts'
import { put } from '../put.ts'

/** The parts of the SDK's HTTP request that control calls use. */
type SdkRequest = {
  readonly method: string
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** A page of a list: 1000 parts are some 200 KB, 200 uploads with the longest keys there are less than 1 MB. */
const ANSWER_BYTES = 2 * MiB

/**
 * Sends the SDK's requests through our own `put`, which guards the connection and caps the answer. For control calls only:
 * bodies and answers are small and in memory.
 */
export const sendThrough = (connections: Connections) => ({
  metadata: { handlerProtocol: 'http/1.1' },
  async handle(request: SdkRequest, { abortSignal }: { abortSignal?: AbortSignal } = {}) {
    const { host: _host, 'content-length': _length, expect: _expect, ...headers } = request.headers
    const body = typeof request.body === 'string' ? Buffer.from(request.body) : request.body
    const bytes = body instanceof Uint8Array ? body : new Uint8Array()
    const answer = await put({
      method: methodOf(request.method),
      url: urlOf(request),
      headers,
      length: bytes.length,
      answerBytes: ANSWER_BYTES,
      body: once(bytes),
      connections,
      credentials: true,
      signal: abortSignal ?? new AbortController().signal
    })
    const response = {
      statusCode: answer.status,
      reason: '',
      headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)])),
      body: Readable.from([Buffer.from(answer.body)])
    }
    return { response }
  },
  updateHttpClientConfig() {},
  httpHandlerConfigs: () => ({})
})

async function* once(bytes: Uint8Array) {
  if (bytes.length > 0) yield bytes
}

function methodOf(method: string) {
  if (method === 'GET' || method === 'PUT' || method === 'POST' || method === 'HEAD' || method === 'DELETE')
    return method
  throw new Error(`Control calls do not use ${method}`)
}

function urlOf({ protocol, hostname, port, path, query }: SdkRequest): URL {
  const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`)
  // As the SDK signed it: URLSearchParams would write a space as +.
  url.search = Object.entries(query ?? {})
    .flatMap(([name, value]) => [value ?? ''].flat().map((one) => `${encode(name)}=${encode(one)}`))
    .join('&')
  return url
}

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
