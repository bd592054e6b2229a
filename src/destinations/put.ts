import http, { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import https from 'node:https'
import { type ByteSource, KiB } from '../domain/bytes.ts'
import { SourceReadFailed } from '../domain/errors.ts'
import type { StreamHash } from '../hashing/hashers.ts'
import type { Connections } from './connection.ts'
import { failure, networkFailure } from './failures.ts'

export type PutRequest = {
  readonly method: 'PUT' | 'POST' | 'GET' | 'HEAD' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Bytes that `body` will give, exactly. */
  readonly length: number
  /** Absent when `length` is 0. */
  readonly body?: ByteSource
  readonly connections: Connections
  /** Whether the URL or the headers hold secrets of the user. */
  readonly credentials: boolean
  /** Takes what is sent, to compute its MD5 meanwhile. */
  readonly md5?: StreamHash
  readonly signal: AbortSignal
}

/** The destination's answer, whatever its status. Its text was chosen by the destination: it is for programs only. */
export type Answer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** The first 64 KiB, as UTF-8. */
  readonly body: string
  /** Lower-case hex of what was sent, when asked for. */
  readonly md5: string | undefined
}

const ANSWER_BYTES = 64 * KiB
/** Small enough that a slow line moves one within the idle limit (9 KiB/s), large enough to cost little. */
const WRITE_BYTES = 512 * KiB

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
  const exchange = new Exchange(request)
  try {
    const { md5, tooLong } = await sendBody(exchange, request)
    // Only now: the destination has a whole body, and what it makes of that has to be over before anybody removes it.
    const answer = await exchange.answer()
    if (tooLong) throw tooMany(request.length)
    return { ...answer, md5 }
  } catch (error) {
    exchange.fail(error)
    throw error
  } finally {
    exchange.close()
  }
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
      const next = await nextChunk()
      if (next === undefined) return {}
      if (next.done) throw new SourceReadFailed(`it ended after ${sent} of ${length} bytes`)
      sent += next.value.length
      if (sent > length) throw tooMany(length)
      const { value } = next
      const hashed = md5 && new Promise<void>((read) => md5.update(value, read))
      await writeOut(exchange, value)
      if (sent === length) exchange.end() // at once: the answer may come with the last byte
      await hashed // the buffer is the source's again when both have taken it
      if (exchange.over) return {}
    }
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

async function writeOut(exchange: Exchange, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length && !exchange.over; at += WRITE_BYTES) {
    await exchange.write(chunk.subarray(at, at + WRITE_BYTES))
  }
}

async function* noBytes(): ByteSource {}

type Outcome = { readonly response: IncomingMessage } | { readonly error: unknown }

/** One request under way. */
class Exchange {
  readonly #request: ClientRequest
  readonly #asked: PutRequest
  readonly #onAbort: () => void
  #outcome: Outcome | undefined
  #whole = false
  #wake: () => void = () => {}
  #timer: NodeJS.Timeout | undefined

  constructor(asked: PutRequest) {
    this.#asked = asked
    const { url, method, headers, length, connections, credentials } = asked
    this.#request = (url.protocol === 'https:' ? https : http).request(url, {
      method,
      agent: connections.agentFor(url, credentials),
      headers: { ...headers, 'content-length': String(length) }
    })
    this.#request.on('response', (response) => this.#finish({ response }))
    this.#request.on('error', (error) => this.#finish({ error: networkFailure(url.host, error) }))
    this.#request.on('close', () => this.#finish({ error: failure('brokenOff', url.host) }))
    this.#onAbort = () => this.fail(asked.signal.reason)
    asked.signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Whether going on makes no sense: it broke off, fell silent, was aborted, or was answered before it was whole. */
  get over(): boolean {
    return this.#outcome !== undefined && (!this.#whole || 'error' in this.#outcome)
  }

  /** What `work` gives, or undefined when the exchange is over before. One waiter at a time, so that nothing piles up. */
  unlessOver<T>(work: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      work.then(resolve, reject)
      this.#watch(() => {
        if (this.over) resolve(undefined)
      })
    })
  }

  /** Returns when the kernel has taken the bytes, or the exchange is over. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#expect('stalled', this.#asked.connections.limits.idleMs)
    await this.unlessOver(new Promise<void>((taken) => this.#request.write(bytes, () => taken())))
    clearTimeout(this.#timer)
  }

  end(): void {
    this.#whole = true
    this.#request.end()
    this.#expect('noAnswer', this.#asked.connections.limits.answerMs)
  }

  async answer(): Promise<Omit<Answer, 'md5'>> {
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#watch(() => {
        if (this.#outcome !== undefined) resolve(this.#outcome)
      })
    })
    if ('error' in outcome) throw outcome.error
    const { response } = outcome
    const status = response.statusCode ?? 0
    if (!this.#whole && status < 300) throw failure('earlySuccess', this.#asked.url.host, { status })
    this.#expect('noAnswer', this.#asked.connections.limits.answerMs)
    const body = await readStart(response)
    this.#asked.signal.throwIfAborted()
    return { status, headers: response.headers, body }
  }

  fail(error: unknown): void {
    this.#finish({ error })
    this.#request.destroy()
  }

  /** Frees what waits. The connection stays open for the next request only if this one came to its proper end. */
  close(): void {
    clearTimeout(this.#timer)
    this.#asked.signal.removeEventListener('abort', this.#onAbort)
    if (!this.#whole) this.#request.destroy()
  }

  #finish(outcome: Outcome): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    clearTimeout(this.#timer)
    this.#wake()
  }

  /** Calls `look` now and when the outcome is known. */
  #watch(look: () => void): void {
    this.#wake = look
    look()
  }

  #expect(otherwise: 'stalled' | 'noAnswer', withinMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.fail(failure(otherwise, this.#asked.url.host)), withinMs)
  }
}

/** Reads up to ANSWER_BYTES and leaves the rest. The status came before: an answer that breaks off in its text still counts. */
async function readStart(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= ANSWER_BYTES) break
    }
  } catch {
    // Half a text is as good as none, see above.
  }
  return Buffer.concat(chunks).toString('utf8', 0, Math.min(bytes, ANSWER_BYTES))
}
