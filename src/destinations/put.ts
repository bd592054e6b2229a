import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type ByteSource, KiB } from '../domain/bytes.ts'
import { SourceReadFailed } from '../domain/errors.ts'
import type { StreamHash } from '../hashing/hashers.ts'
import { Exchange, type ExchangeRequest } from './exchange.ts'
import { failure } from './failures.ts'

export type PutRequest = ExchangeRequest & {
  /** Bytes that `body` will give, exactly. */
  readonly length: number
  /** Absent when `length` is 0. */
  readonly body?: ByteSource
  /** Headers to do without when the server says that it does not implement them. */
  readonly wish?: Readonly<Record<string, string>> | undefined
  /** Takes what is sent, to compute its MD5 meanwhile. */
  readonly md5?: StreamHash
  /** Of the text of the answer; 64 KiB when absent. */
  readonly answerBytes?: number
}

/** The destination's answer, whatever its status. Its text was chosen by the destination: it is for programs only. */
export type Answer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Its first bytes, as UTF-8; the rest is not read. */
  readonly body: string
  /** Lower-case hex of what was sent, when asked for. */
  readonly md5: string | undefined
}

const ANSWER_BYTES = 64 * KiB
/** Small enough that a slow line moves one within the idle limit (9 KiB/s), large enough to cost little. */
const WRITE_BYTES = 512 * KiB
/** Bodies above this are sent when the server has asked for them: its refusal then costs none of it. */
const ASK_FIRST_BYTES = 64 * KiB

/**
 * Sends one HTTP request and returns the answer. An answer before the end of the body ends the sending.
 *
 * The next chunk is asked for when the kernel has taken the one before, so borrowed buffers are safe and a slow destination
 * slows the source. After an answer, a failure or an abort no further chunk is asked for.
 *
 * @throws DestinationError when there is no answer; SourceReadFailed when `body` is not `length` bytes long; what `body`
 *   throws; the reason of `signal`
 */
export async function put(request: PutRequest): Promise<Answer> {
  request.signal.throwIfAborted()
  const exchange = await begin(request)
  try {
    const { md5, tooLong } = await sendBody(exchange, request)
    // Only now: the destination has a whole body, and what it makes of that has to be over before anybody removes it.
    const answer = await answerOf(exchange, request)
    if (tooLong) throw tooMany(request.length)
    return { ...answer, md5 }
  } catch (error) {
    exchange.fail(error)
    throw error
  } finally {
    exchange.close()
  }
}

/** Sends the head and, when something may be refused, waits until the server wants the body (RFC 9110 10.1.1). */
async function begin(request: PutRequest): Promise<Exchange> {
  const { wish, length } = request
  const headers = { ...request.headers, ...wish, 'content-length': String(length) }
  if (length <= ASK_FIRST_BYTES && wish === undefined) return new Exchange({ ...request, headers })
  const asking = new Exchange({ ...request, headers: { ...headers, expect: '100-continue' } })
  const refusal = await asking.invitation()
  if (refusal !== EXPECTATION_FAILED && !(refusal === NOT_IMPLEMENTED && wish)) return asking
  asking.close()
  request.signal.throwIfAborted()
  if (refusal === NOT_IMPLEMENTED) return begin({ ...request, wish: undefined })
  return new Exchange({ ...request, headers })
}

/** What a server answers that cannot be asked first; then it is not asked. */
const EXPECTATION_FAILED = 417
/** What Swift's S3 API says to If-None-Match. */
const NOT_IMPLEMENTED = 501

async function answerOf(
  exchange: Exchange,
  { url, signal, answerBytes = ANSWER_BYTES }: PutRequest
): Promise<Omit<Answer, 'md5'>> {
  const response = await exchange.head()
  const status = response.statusCode ?? 0
  if (!exchange.whole && status < 300) throw failure('earlySuccess', url.host, { status })
  const body = await readStart(response, answerBytes)
  signal.throwIfAborted()
  return { status, headers: response.headers, body }
}

/** What was sent: its MD5 when asked for and all of it went out, and whether the source had more than was promised. */
type Sent = { readonly md5?: string | undefined; readonly tooLong?: boolean }

async function sendBody(exchange: Exchange, { length, body, md5 }: PutRequest): Promise<Sent> {
  const chunks = (body ?? noBytes())[Symbol.asyncIterator]()
  let asking = false
  const nextChunk = async () => {
    asking = true
    const next = await exchange.unlessOver(chunks.next())
    asking = next === undefined
    return next
  }
  try {
    for (let sent = 0; sent < length; ) {
      if (exchange.over) return {}
      const next = await nextChunk()
      if (next === undefined) return {}
      if (next.done) throw new SourceReadFailed(`it ended after ${sent} of ${length} bytes`)
      sent += next.value.length
      if (sent > length) throw tooMany(length)
      const { value } = next
      const hashed = md5 && new Promise<void>((read) => md5.update(value, read))
      const isOut = await writeOut(exchange, value)
      if (isOut && sent === length) exchange.end() // at once: the answer may come with the last byte
      await hashed // the buffer is the source's again when both have taken it
      if (!isOut) return {}
    }
    if (exchange.over) return {}
    if (length === 0) exchange.end()
    const end = await nextChunk()
    return { md5: await md5?.digest(), tooLong: end?.done === false }
  } finally {
    // A source that is still busy with our question closes when it is done; waiting for it could take for ever.
    const closed = chunks.return?.()
    if (asking) closed?.catch(() => {})
    else await closed
  }
}

const tooMany = (length: number) => new SourceReadFailed(`it gave more than the ${length} bytes that were promised`)

/** @returns false where the exchange was over before all of it was out */
async function writeOut(exchange: Exchange, chunk: Uint8Array): Promise<boolean> {
  for (let at = 0; at < chunk.length; at += WRITE_BYTES) {
    if (exchange.over || !(await exchange.write(chunk.subarray(at, at + WRITE_BYTES)))) return false
  }
  return true
}

async function* noBytes(): ByteSource {}

/** Reads up to `most` bytes and leaves the rest. The status came before: an answer that breaks off in its text still counts. */
async function readStart(response: IncomingMessage, most: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= most) break
    }
  } catch {
    // Half a text is as good as none, see above.
  }
  return Buffer.concat(chunks).toString('utf8', 0, Math.min(bytes, most))
}
