import { setTimeout as sleep } from 'node:timers/promises'
import type { ByteSource } from '../../domain/bytes.ts'
import type { Connections } from '../connection.ts'
import type { Found, Removed, UploadTarget } from '../destination.ts'
import { Exchange } from '../exchange.ts'
import { answerFailure, failure } from '../failures.ts'
import { type Range, readObject } from '../get.ts'
import { type Answer, put } from '../put.ts'
import { type Access, readAccess } from './credentials.ts'

/** What a look at the object showed. `version` changes with every write of it. */
export type Look = Found & { readonly version: string }

/** Answers to a DELETE after which nothing more can be done: gone already, or a server that only takes uploads. */
const NOTHING_TO_REMOVE = [401, 403, 404, 405, 410, 501]
/** RFC 4918 11.3. Go's WebDAV server locks what is written, until it has noticed that a PUT broke off. */
const LOCKED = 423
const MOST_LOCKED = 25
/** For a server that is busy with a PUT that broke off. */
export const REST_MS = 200

/** The requests about one object, with the credentials and the TLS of its target. */
export class HttpObject implements Disposable {
  /** Host and port, for messages. */
  readonly host: string
  /** Whether HEAD and GET may be about what was sent. A signature is good for the one PUT; a POST may make another object. */
  readonly readable: boolean
  /** Whether DELETE may be tried. */
  readonly removable: boolean
  /** Of the last name in the path, as the server has it. */
  readonly nameBytes: number
  readonly #url: URL
  readonly #access: Access
  readonly #connections: Connections & Disposable

  /** @param suffix of another object beside the target's */
  constructor(connections: Connections, { url, credentials }: UploadTarget, suffix = '') {
    this.#access = readAccess(credentials?.unwrap())
    this.#connections = connections.withTls(this.#access.tls)
    this.#url = new URL(url)
    this.#url.pathname += suffix
    this.#url.search = this.#access.query
    this.host = url.host
    this.nameBytes = Buffer.byteLength(decoded(this.#url.pathname.slice(this.#url.pathname.lastIndexOf('/') + 1)))
    this.removable = this.#access.query === ''
    this.readable = this.removable && this.#access.method === 'PUT'
  }

  send(
    length: number,
    body: ByteSource,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    wish?: Readonly<Record<string, string>>
  ): Promise<Answer> {
    return put({ ...this.#request(headers, signal), method: this.#access.method, length, body, wish })
  }

  /**
   * Asks for leave to send, and sends nothing.
   * @param patiently waits for a refusal also after the leave was given
   * @returns the refusal; undefined when there was none
   */
  async refusal(signal: AbortSignal, patiently: boolean): Promise<number | undefined> {
    const asked = this.#request({ expect: '100-continue', 'content-length': '1' }, signal)
    const exchange = new Exchange({ ...asked, method: this.#access.method })
    try {
      const refused = await exchange.invitation()
      return refused ?? (patiently ? await exchange.refusal() : undefined)
    } finally {
      exchange.close()
    }
  }

  /** @throws DestinationError when there is no answer */
  async look(signal: AbortSignal): Promise<Look> {
    if (!this.readable) return { status: 'unreadable', version: '' }
    const { status, headers } = await this.ask('HEAD', signal)
    if (status === 404 || status === 410) return { status: 'absent', version: '' }
    const { etag = '', 'last-modified': modified = '', 'content-length': length, 'content-encoding': coded } = headers
    // Servers that answer anything to HEAD say nothing of an object.
    if (status !== 200 || !(etag || modified || Number(length) > 0)) return { status: 'unreadable', version: '' }
    return {
      status: 'present',
      length: length === undefined || coded !== undefined ? undefined : Number(length),
      exportId: undefined,
      contentId: undefined,
      version: `${etag} ${modified} ${length}`
    }
  }

  async *read(range: Range, signal: AbortSignal): ByteSource {
    if (!this.readable) throw failure('writeOnly', this.host)
    yield* readObject(this.#request({}, signal), range)
  }

  /** One that is gone, and one that may not be removed, is no error. */
  async remove(signal: AbortSignal): Promise<Removed> {
    if (!this.removable) return []
    let answer = await this.ask('DELETE', signal)
    for (let left = MOST_LOCKED; answer.status === LOCKED && left > 0; left -= 1) {
      await sleep(REST_MS)
      answer = await this.ask('DELETE', signal)
    }
    if (answer.status >= 200 && answer.status < 300) return ['object']
    if (NOTHING_TO_REMOVE.includes(answer.status)) return []
    throw answerFailure(this.host, answer)
  }

  /** Whether the method that sends is in a list of methods, as `Allow` has it. */
  isAmong(methods: string): boolean {
    return methods
      .toUpperCase()
      .split(/[\s,]+/)
      .includes(this.#access.method)
  }

  /** A request without a body. */
  ask(method: 'HEAD' | 'DELETE' | 'OPTIONS', signal: AbortSignal): Promise<Answer> {
    return put({ ...this.#request({ 'accept-encoding': 'identity' }, signal), method, length: 0 })
  }

  handshake(signal: AbortSignal) {
    return this.#connections.handshake(this.#url, this.#access.secret, signal)
  }

  [Symbol.dispose](): void {
    this.#connections[Symbol.dispose]()
  }

  #request(headers: Readonly<Record<string, string>>, signal: AbortSignal) {
    return {
      url: this.#url,
      headers: { ...headers, ...this.#access.headers },
      connections: this.#connections,
      credentials: this.#access.secret,
      signal
    }
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name // not UTF-8: three characters stand for a byte at most, so it counts as no shorter than it is
  }
}
