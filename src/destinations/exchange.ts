import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connections } from './connection.ts'
import { failure, networkFailure } from './failures.ts'
import type { Situation } from './situations.ts'

export type ExchangeRequest = {
  readonly method: 'PUT' | 'POST' | 'GET' | 'HEAD' | 'DELETE' | 'OPTIONS'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly connections: Connections
  /** Whether the URL or the headers hold secrets of the user. */
  readonly credentials: boolean
  readonly signal: AbortSignal
}

/** How long a server has to say 100 (RFC 9110 10.1.1): one round trip. Those that ignore `Expect` get the body after it. */
const CONTINUE_MS = 1_000

/** A turn of the event loop would do. */
const TAKEN_MS = 50

type Outcome = { readonly response: IncomingMessage } | { readonly error: unknown }

/** One request under way, from its head to the head of the answer. */
export class Exchange {
  readonly #request: ClientRequest
  readonly #asked: ExchangeRequest
  readonly #onAbort: () => void
  #outcome: Outcome | undefined
  #whole = false
  #wake: () => void = () => {}
  #timer: NodeJS.Timeout | undefined

  constructor(asked: ExchangeRequest) {
    this.#asked = asked
    const { url, method, headers, connections, credentials } = asked
    this.#request = (url.protocol === 'https:' ? https : http).request(url, {
      method,
      agent: connections.agentFor(url, credentials),
      headers
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

  /** Whether all of it was sent. */
  get whole(): boolean {
    return this.#whole
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

  /**
   * After a head with `Expect: 100-continue`: returns when the server wants the body, or seems not to know the header.
   * @returns the status of the final answer, when that came instead
   */
  async invitation(): Promise<number | undefined> {
    let patience: NodeJS.Timeout | undefined
    const invited = new Promise<void>((resolve) => {
      this.#request.once('continue', resolve)
      this.#request.once('socket', (socket) => {
        whenConnected(socket, () => {
          patience = setTimeout(resolve, CONTINUE_MS)
        })
      })
    })
    await this.unlessOver(invited)
    clearTimeout(patience)
    return this.#status
  }

  /**
   * Waits for an answer without sending anything more. Many servers invite everybody and refuse then (Node's does).
   * @returns its status, when it came within the time of an invitation
   */
  async refusal(): Promise<number | undefined> {
    let patience: NodeJS.Timeout | undefined
    await this.unlessOver(
      new Promise<void>((resolve) => {
        patience = setTimeout(resolve, CONTINUE_MS)
      })
    )
    clearTimeout(patience)
    return this.#status
  }

  get #status(): number | undefined {
    return this.#outcome && 'response' in this.#outcome ? this.#outcome.response.statusCode : undefined
  }

  /** Returns when the kernel has taken the bytes, or the exchange is over. @returns whether it has taken them */
  async write(bytes: Uint8Array): Promise<boolean> {
    this.#expect('stalled', this.#asked.connections.limits.idleMs)
    let taken = false
    const written = new Promise<void>((resolve) => {
      this.#request.write(bytes, (error) => {
        taken = !error
        resolve()
      })
    })
    await this.unlessOver(written)
    clearTimeout(this.#timer)
    // Where TLS is between, an answer to the last bytes may be heard before the word that they are gone.
    if (!taken && this.#status !== undefined) await Promise.race([written, sleep(TAKEN_MS)])
    return taken
  }

  end(): void {
    this.#whole = true
    this.#request.end()
    this.#expect('noAnswer', this.#asked.connections.limits.answerMs)
  }

  /** The answer, its body not read yet. The time for the answer goes on until `close`. */
  async head(): Promise<IncomingMessage> {
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#watch(() => {
        if (this.#outcome !== undefined) resolve(this.#outcome)
      })
    })
    if ('error' in outcome) throw outcome.error
    this.#expect('noAnswer', this.#asked.connections.limits.answerMs)
    return outcome.response
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

  #expect(otherwise: Situation, withinMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.fail(failure(otherwise, this.#asked.url.host)), withinMs)
  }
}

function whenConnected(socket: Socket, then: () => void): void {
  if (!socket.connecting) then()
  else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', then)
}
