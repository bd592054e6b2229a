import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { ByteSource } from '../domain/bytes.ts'
import { Exchange, type ExchangeRequest } from './exchange.ts'
import { answerFailure, failure, networkFailure } from './failures.ts'

/** Bytes [from, to) of a file. */
export type Range = { readonly from: number; readonly to: number }

export type GetRequest = Omit<ExchangeRequest, 'method'> & { readonly range?: Range }

/** An answer whose body is still on its way. Read the body or dispose of the answer: until then it keeps a connection. */
export type Got = Disposable & {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /**
   * Can be read once. Throws DestinationError when it breaks off before `content-length` or falls silent, and the reason of
   * `signal`. A reader that stops early ends the connection.
   */
  readonly body: ByteSource
}

/**
 * Sends a GET over the guarded connections and returns as soon as the head of the answer is there, whatever its status.
 * Redirects are not followed. A server may answer a `range` with 200 and everything: `readObject` takes care of that.
 * @throws DestinationError when there is no answer; the reason of `signal`
 */
export async function get(request: GetRequest): Promise<Got> {
  request.signal.throwIfAborted()
  const { range, headers } = request
  const exchange = new Exchange({
    ...request,
    method: 'GET',
    headers: {
      'accept-encoding': 'identity',
      ...(range && { range: `bytes=${range.from}-${range.to - 1}` }),
      ...headers
    }
  })
  try {
    exchange.end()
    const response = await exchange.head()
    const stop = () => response.destroy(request.signal.reason)
    request.signal.addEventListener('abort', stop, { once: true })
    response.once('close', () => request.signal.removeEventListener('abort', stop))
    response.on('error', () => {}) // the reader of the body is told; without one nobody needs to know
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: bodyOf(response, request),
      [Symbol.dispose]: () => response.destroy()
    }
  } catch (error) {
    exchange.fail(error)
    throw error
  } finally {
    exchange.close()
  }
}

async function* bodyOf(response: IncomingMessage, { url, connections, signal }: GetRequest): ByteSource {
  const tooSlow = () => response.destroy(failure('stalledSending', url.host))
  const chunks = (response as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  try {
    for (;;) {
      const timer = setTimeout(tooSlow, connections.limits.idleMs)
      const next = await chunks.next().finally(() => clearTimeout(timer))
      if (next.done) return
      yield next.value
    }
  } catch (error) {
    signal.throwIfAborted()
    throw networkFailure(url.host, error)
  } finally {
    if (!response.complete) response.destroy()
    await chunks.return?.()
  }
}

/**
 * Gives exactly the bytes [from, to) of an object, also when the server ignores `Range` and sends everything.
 * @throws DestinationError also when the object ends before `to`
 */
export async function* readObject(request: Omit<GetRequest, 'range'>, range: Range): ByteSource {
  if (range.from >= range.to) return
  using answer = await get({ ...request, range })
  const { host } = request.url
  let at = startOf(answer, range, host)
  for await (const chunk of answer.body) {
    const wanted = chunk.subarray(Math.max(0, range.from - at), Math.max(0, range.to - at))
    at += chunk.length
    if (wanted.length > 0) yield wanted
    if (at >= range.to) return
  }
  throw failure('lengthDiffers', host)
}

/** Where in the object the body of this answer begins. */
function startOf({ status, headers }: Got, range: Range, host: string): number {
  if (status === 200) return 0
  if (status === 416) throw failure('lengthDiffers', host, { status })
  if (status === 404 || status === 410) throw failure('objectGone', host, { status })
  if (status !== 206) throw answerFailure(host, { status, headers })
  const [, from] = /^bytes (\d{1,16})-\d{1,16}\//.exec(headers['content-range'] ?? '') ?? []
  if (Number(from) !== range.from) throw failure('notHttp', host, { status })
  return range.from
}
