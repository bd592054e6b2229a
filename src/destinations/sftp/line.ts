import type { Socket } from 'node:net'
import type { ConnectionSettings } from '../connection.ts'
import { failure } from '../failures.ts'
import { connectSocket } from '../guarded-socket.ts'
import type { Login } from './credentials.ts'
import { isDisagreement } from './failures.ts'
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
  #session: SftpSession | undefined
  #opening: Promise<SftpSession> | undefined

  constructor(settings: SftpSettings, url: URL, login: Login) {
    this.#settings = settings
    this.#url = url
    this.#login = login
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
    this.#opening ??= connect(this.#settings, this.#url, this.#login, signal).finally(() => {
      this.#opening = undefined
    })
    this.#session = await this.#opening
    return this.#session
  }
}

/**
 * Logs in. A server has several host keys and the credentials name one of them, so when it shows another it is asked for the
 * kinds that are left.
 */
async function connect(settings: SftpSettings, url: URL, login: Login, signal: AbortSignal): Promise<SftpSession> {
  const { answerMs, idleMs } = settings.limits
  let hostKeys: readonly HostKeyAlgorithm[] = HOST_KEY_ALGORITHMS
  while (hostKeys.length > 0) {
    const socket = await connectSocket(settings, url, signal)
    using _ending = destroyOn(signal, socket)
    try {
      const answer = await logIn(socket, url.host, login, hostKeys, answerMs)
      if ('client' in answer) return await SftpSession.start(answer.client, url.host, idleMs, settings.closing)
      hostKeys = hostKeys.filter((algorithm) => keyKind(algorithm) !== answer.otherKey)
    } catch (error) {
      signal.throwIfAborted()
      const noneLeft = hostKeys !== HOST_KEY_ALGORITHMS && isDisagreement(error)
      throw noneLeft ? failure('hostKeyDiffers', url.host, { cause: error }) : error
    }
  }
  throw failure('hostKeyDiffers', url.host)
}

/** How a key says what it is (RFC 8332: RSA keys are the same for all RSA signatures). */
const keyKind = (algorithm: HostKeyAlgorithm): string => (algorithm.startsWith('rsa-') ? 'ssh-rsa' : algorithm)

function destroyOn(signal: AbortSignal, socket: Socket): Disposable {
  const stop = () => socket.destroy()
  signal.addEventListener('abort', stop, { once: true })
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', stop) }
}
