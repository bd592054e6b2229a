import type { Socket } from 'node:net'
import type { ConnectionSettings } from '../connection.ts'
import { failure } from '../failures.ts'
import { connectSocket } from '../guarded-socket.ts'
import type { Login } from './credentials.ts'
import { isDisagreement } from './failures.ts'
import type { HostTrust } from './host-trust.ts'
import { HOST_KEY_ALGORITHMS, type HostKeyAlgorithm, logIn } from './log-in.ts'
import { SftpSession } from './session.ts'

export type SftpSettings = ConnectionSettings & {
  /** Ends every session when it fires. */
  readonly closing: AbortSignal
}

/** A way to one server: a session that is opened when it is needed, again after it broke, and shared by all who use it. */
export class SftpLine {
  readonly #settings: SftpSettings
  readonly #url: URL
  readonly #login: Login
  readonly #trust: HostTrust
  #session: SftpSession | undefined
  #opening: Promise<SftpSession> | undefined

  constructor(settings: SftpSettings, url: URL, login: Login, trust: HostTrust) {
    this.#settings = settings
    this.#url = url
    this.#login = login
    this.#trust = trust
  }

  /** Runs `work` with a session. When `signal` fires meanwhile, the connection ends, and so does all that uses it. */
  async use<T>(signal: AbortSignal, work: (session: SftpSession) => Promise<T>): Promise<T> {
    const session = await this.open(signal)
    using _ending = session.endOn(signal)
    signal.throwIfAborted()
    return await work(session)
  }

  /** Ends the connection; the next use opens another. */
  end(): void {
    this.#session?.end()
  }

  /** The session, for longer than one use: whoever takes it sees to the signal. */
  async open(signal: AbortSignal): Promise<SftpSession> {
    signal.throwIfAborted()
    if (this.#session && !this.#session.ended) return this.#session
    this.#opening ??= this.#connect(signal).finally(() => {
      this.#opening = undefined
    })
    this.#session = await this.#opening
    return this.#session
  }

  /**
   * Logs in. A server has several host keys of which not all need be known, so when it shows another it is asked for the kinds
   * that are left.
   */
  async #connect(signal: AbortSignal): Promise<SftpSession> {
    const { limits, closing } = this.#settings
    const { host } = this.#url
    const trust = this.#trust
    const isKnown = (algorithm: HostKeyAlgorithm) => trust.kinds.includes(keyKind(algorithm))
    const all = HOST_KEY_ALGORITHMS.toSorted((a, b) => Number(isKnown(b)) - Number(isKnown(a)))
    let hostKeys = all
    while (hostKeys.length > 0) {
      const socket = await connectSocket(this.#settings, this.#url, signal)
      using _ending = destroyOn(signal, socket)
      try {
        const answer = await logIn(socket, host, this.#login, { trust, hostKeys }, limits.answerMs)
        if ('client' in answer) {
          return await SftpSession.start({ client: answer.client, socket }, host, limits.idleMs, closing)
        }
        hostKeys = hostKeys.filter((algorithm) => keyKind(algorithm) !== answer.otherKey)
      } catch (error) {
        signal.throwIfAborted()
        const noneLeft = hostKeys !== all && isDisagreement(error)
        throw noneLeft ? failure(trust.otherwise, host, { cause: error }) : error
      }
    }
    throw failure(trust.otherwise, host)
  }
}

/** How a key says what it is (RFC 8332: RSA keys are the same for all RSA signatures). */
const keyKind = (algorithm: HostKeyAlgorithm): string => (algorithm.startsWith('rsa-') ? 'ssh-rsa' : algorithm)

function destroyOn(signal: AbortSignal, socket: Socket): Disposable {
  const stop = () => socket.destroy()
  signal.addEventListener('abort', stop, { once: true })
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', stop) }
}
