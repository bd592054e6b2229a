import type { Client, SFTPWrapper } from 'ssh2'
import { failure } from '../failures.ts'
import { requestFailure } from './failures.ts'

type Done<T> = (error: Error | null | undefined, answer?: T) => void

/** How long an unused session stays open. */
const REST_MS = 30_000

/**
 * One SFTP session on a connection of its own. Requests may be under way at the same time. The connection ends, and with it
 * every request, when the server answers none of them for the idle limit; also when nothing is asked for a while.
 */
export class SftpSession {
  readonly host: string
  readonly #client: Client
  readonly #sftp: SFTPWrapper
  readonly #idleMs: number
  readonly #closing: Disposable
  readonly #waiting = new Set<(error: unknown) => void>()
  #timer: NodeJS.Timeout | undefined
  #ended: { readonly reason: unknown } | undefined

  private constructor(client: Client, sftp: SFTPWrapper, host: string, idleMs: number, closing: AbortSignal) {
    this.#client = client
    this.#sftp = sftp
    this.host = host
    this.#idleMs = idleMs
    this.#closing = this.endOn(closing)
    const broken = () => this.end(failure('brokenOff', host))
    client.on('close', broken)
    for (const event of ['end', 'close', 'error']) sftp.on(event, broken)
    this.#watch()
  }

  /**
   * @param client logged in
   * @param closing fires when the service ends
   */
  static start(client: Client, host: string, idleMs: number, closing: AbortSignal): Promise<SftpSession> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        clearTimeout(tooSlow)
        reject(error)
        client.destroy()
      }
      const tooSlow = setTimeout(() => fail(failure('noAnswer', host)), idleMs)
      client.once('close', () => fail(failure('brokenOff', host)))
      client.sftp((cause, sftp) => {
        if (cause) return fail(failure('methodNotAllowed', host, { cause }))
        clearTimeout(tooSlow)
        resolve(new SftpSession(client, sftp, host, idleMs, closing))
      })
    })
  }

  get ended(): boolean {
    return this.#ended !== undefined
  }

  /**
   * One request of the protocol.
   * @param send calls a method of ssh2 with `done` as its callback; what it throws at once means that the server lacks it
   * @throws DestinationError
   */
  request<T>(send: (sftp: SFTPWrapper, done: Done<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#ended) throw this.#ended.reason
      this.#waiting.add(reject)
      const done: Done<T> = (error, answer) => {
        this.#waiting.delete(reject)
        this.#watch()
        if (error) reject(requestFailure(this.host, error))
        else resolve(answer as T)
      }
      try {
        send(this.#sftp, done)
      } catch (cause) {
        this.#waiting.delete(reject)
        reject(failure('methodNotAllowed', this.host, { cause }))
      }
      if (this.#waiting.size === 1) this.#watch()
    })
  }

  /** Ends the connection when `signal` fires, until disposed of. */
  endOn(signal: AbortSignal): Disposable {
    const stop = () => this.end(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    return { [Symbol.dispose]: () => signal.removeEventListener('abort', stop) }
  }

  /** What waits for an answer is rejected with `reason`. */
  end(reason: unknown = failure('brokenOff', this.host)): void {
    if (this.#ended) return
    this.#ended = { reason }
    clearTimeout(this.#timer)
    this.#closing[Symbol.dispose]()
    for (const reject of this.#waiting) reject(reason)
    this.#waiting.clear()
    this.#client.destroy()
  }

  #watch(): void {
    if (this.#ended) return
    clearTimeout(this.#timer)
    const busy = this.#waiting.size > 0
    const over = () => this.end(failure(busy ? 'stalled' : 'brokenOff', this.host))
    this.#timer = setTimeout(over, busy ? this.#idleMs : REST_MS)
  }
}
