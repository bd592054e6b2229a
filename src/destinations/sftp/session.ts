import type { Socket } from 'node:net'
import type { Client, SFTPWrapper } from 'ssh2'
import { KiB } from '../../domain/bytes.ts'
import { failure } from '../failures.ts'
import { requestFailure } from './failures.ts'

type Done<T> = (error: Error | null | undefined, answer?: T) => void

/** A client that has logged in, and the connection that it uses. */
type LoggedIn = { readonly client: Client; readonly socket: Socket }

/**
 * OpenSSH takes 255 KiB, and says so since 8.5 (`limits@openssh.com`). With what stands around them these fill eight packets of
 * SSH, of 32 KiB each.
 */
const LARGE_PACKET_BYTES = 252 * KiB
/** Every server takes 34,000 bytes with all that stands around them. ssh2 would send the rest of a larger one after the answer. */
const SMALL_PACKET_BYTES = 31 * KiB

/** ssh2 asks for them first. */
const saysItsLimits = (sftp: SFTPWrapper): boolean =>
  'maxOpenHandles' in sftp && typeof sftp.maxOpenHandles === 'number'

/** How long an unused session stays open. */
const REST_MS = 30_000

/**
 * One SFTP session on a connection of its own. Requests may be under way at the same time. The connection ends, and with it
 * every request, when the server answers none of them for the idle limit; also when nothing is asked for a while.
 */
export class SftpSession {
  readonly host: string
  /** What one request to read or write carries at most. */
  readonly packetBytes: number
  readonly #client: Client
  readonly #socket: Socket
  readonly #sftp: SFTPWrapper
  readonly #idleMs: number
  readonly #closing: Disposable
  readonly #waiting = new Set<(error: unknown) => void>()
  #timer: NodeJS.Timeout | undefined
  #gathering = false
  #ended: { readonly reason: unknown } | undefined

  private constructor(
    { client, socket }: LoggedIn,
    sftp: SFTPWrapper,
    host: string,
    idleMs: number,
    closing: AbortSignal
  ) {
    this.#client = client
    this.#socket = socket
    this.#sftp = sftp
    this.packetBytes = saysItsLimits(sftp) ? LARGE_PACKET_BYTES : SMALL_PACKET_BYTES
    this.host = host
    this.#idleMs = idleMs
    this.#closing = this.endOn(closing)
    const broken = () => this.end(failure('brokenOff', host))
    client.on('close', broken)
    for (const event of ['end', 'close', 'error']) sftp.on(event, broken)
    socket.prependListener('data', this.#gather) // what had no room in the window is sent when the server makes some
    this.#watch()
  }

  /** @param closing fires when the service ends */
  static start(loggedIn: LoggedIn, host: string, idleMs: number, closing: AbortSignal): Promise<SftpSession> {
    const { client } = loggedIn
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
        resolve(new SftpSession(loggedIn, sftp, host, idleMs, closing))
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
      this.#gather()
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

  /** Sends all that is written in this turn of the event loop in one piece: ssh2 writes every packet in three. */
  readonly #gather = (): void => {
    if (this.#gathering) return
    this.#gathering = true
    this.#socket.cork()
    setImmediate(() => {
      this.#gathering = false
      this.#socket.uncork()
    })
  }

  #watch(): void {
    if (this.#ended) return
    clearTimeout(this.#timer)
    const busy = this.#waiting.size > 0
    const over = () => this.end(failure(busy ? 'stalled' : 'brokenOff', this.host))
    this.#timer = setTimeout(over, busy ? this.#idleMs : REST_MS)
  }
}
