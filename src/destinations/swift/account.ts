import { type ByteSource, MiB, oneChunk } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { StreamHash } from '../../hashing/hashers.ts'
import type { Connections } from '../connection.ts'
import { failure } from '../failures.ts'
import { type Got, get, type Range, readObject } from '../get.ts'
import { type Answer, put } from '../put.ts'
import { type ClusterLimits, DEFAULT_CLUSTER, infoUrl, readInfo } from './info.ts'
import type { Access, Login, Method } from './login.ts'
import { textOf } from './text.ts'

export type SwiftRequest = {
  readonly method: Method
  /** Below the account, percent-encoded; empty for the account itself. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  /** Of bytes that are at hand; what a `send` may repeat. */
  readonly bytes?: Uint8Array
  /** Whether Swift looks at many objects before the end of its answer: that may take ten times as long then, and be longer. */
  readonly isLong?: boolean
}

/** Before its end a token is no longer used: what begins now has to be let in some round trips later. */
const MARGIN_MS = 60_000
/** It sends heartbeats meanwhile, but the end of the answer comes at the end. */
const LONG_ANSWER_FACTOR = 10
/** It names each object that was refused: in slices of 200, with names as long as they may be, all of them. */
const LONG_ANSWER_BYTES = 1 * MiB
const MAX_INFO_BYTES = 1 * MiB

/**
 * One account, as these credentials reach it. Logs in when first needed, again when a token is about to expire, and once when
 * a token that was accepted before is not any more: uploads outlive tokens.
 */
export class Account {
  readonly #access: Access
  readonly #connections: Connections
  readonly #accepted = new WeakSet<Login>()
  #login: Promise<Login> | undefined
  #limits: Promise<ClusterLimits> | undefined

  constructor(access: Access, connections: Connections) {
    this.#access = access
    this.#connections = connections
  }

  /** @throws DestinationError */
  async login(signal: AbortSignal): Promise<Login> {
    const login = await this.#current(signal)
    const { expiresAt } = login
    if (!this.#access.renewable || expiresAt === undefined || expiresAt - Date.now() > MARGIN_MS) return login
    return this.#renewed(login, signal)
  }

  /** What the cluster takes; asked once. */
  async limits(signal: AbortSignal): Promise<ClusterLimits> {
    const { storage } = await this.login(signal)
    this.#limits ??= this.#askLimits(storage).catch((error: unknown) => {
      this.#limits = undefined
      throw error
    })
    return unlessAborted(this.#limits, signal)
  }

  /** Host and port of the object store, for messages. */
  async host(signal: AbortSignal): Promise<string> {
    return (await this.login(signal)).storage.host
  }

  /** Sends a request whose body is at hand, and returns the answer whatever its status. */
  send(request: SwiftRequest, signal: AbortSignal): Promise<Answer> {
    return this.#withRenewal(signal, async (login) => {
      const bytes = request.bytes ?? new Uint8Array()
      const prepared = await this.#prepare(login, request, signal)
      return put({ ...prepared, length: bytes.length, ...(bytes.length > 0 && { body: oneChunk(bytes) }) })
    })
  }

  /** As `send`, for answers that may be long. */
  get(request: Omit<SwiftRequest, 'method'>, signal: AbortSignal): Promise<Got> {
    return this.#withRenewal(signal, async (login) =>
      get(await this.#prepare(login, { ...request, method: 'GET' }, signal))
    )
  }

  /** Bytes [from, to) of an object. */
  async *read(path: string, range: Range, signal: AbortSignal): ByteSource {
    const login = await this.login(signal)
    try {
      yield* readObject(await this.#prepare(login, { method: 'GET', path }, signal), range)
    } catch (error) {
      // A refusal comes before the first byte.
      if (!(error instanceof DestinationError) || error.upstreamStatus !== 401 || !this.#mayRenew(login)) throw error
      const fresh = await this.#renewed(login, signal)
      yield* readObject(await this.#prepare(fresh, { method: 'GET', path }, signal), range)
    }
  }

  /**
   * Sends bytes that can be read once.
   * @throws DestinationError also for a token that has expired: there is a new one then, and the bytes may be sent again
   */
  async stream(
    request: SwiftRequest,
    body: { readonly length: number; readonly source: ByteSource; readonly md5: StreamHash },
    signal: AbortSignal
  ): Promise<Answer> {
    const login = await this.login(signal)
    const { length, source, md5 } = body
    const answer = await put({ ...(await this.#prepare(login, request, signal)), length, body: source, md5 })
    if (answer.status !== 401) {
      this.#accepted.add(login)
    } else if (this.#mayRenew(login)) {
      await this.#renewed(login, signal)
      throw failure('tokenExpired', login.storage.host, { status: 401 })
    }
    return answer
  }

  async #withRenewal<T extends { readonly status: number }>(
    signal: AbortSignal,
    attempt: (login: Login) => Promise<T>
  ): Promise<T> {
    const login = await this.login(signal)
    const answer = await attempt(login)
    if (answer.status !== 401) this.#accepted.add(login)
    else if (this.#mayRenew(login)) return attempt(await this.#renewed(login, signal))
    return answer
  }

  /** A token that never was accepted is not expired: a new one would not be accepted either. */
  #mayRenew(login: Login): boolean {
    return this.#access.renewable && this.#accepted.has(login)
  }

  #current(signal: AbortSignal): Promise<Login> {
    this.#login ??= this.#begin()
    return unlessAborted(this.#login, signal)
  }

  /** The login after `stale`; requests that were refused together share one. */
  async #renewed(stale: Login, signal: AbortSignal): Promise<Login> {
    const current = await this.#current(signal)
    if (current !== stale) return current
    this.#login = this.#begin()
    return unlessAborted(this.#login, signal)
  }

  /** Not with the signal of whoever happens to be the first: others wait for the same login. */
  #begin(): Promise<Login> {
    const login = this.#access.login(new AbortController().signal)
    login.catch(() => {
      if (this.#login === login) this.#login = undefined
    })
    return login
  }

  async #prepare(login: Login, request: SwiftRequest, signal: AbortSignal) {
    const { method, path, query = {}, headers = {}, isLong = false } = request
    const url = new URL(`${login.storage.href}${path}`)
    const pass = await login.pass(method, decodeURIComponent(url.pathname), () => this.limits(signal))
    for (const [name, value] of Object.entries({ ...query, ...pass.query })) url.searchParams.set(name, value)
    const connections = isLong ? patient(this.#connections) : this.#connections
    return {
      url,
      method,
      headers: { ...headers, ...pass.headers },
      connections,
      credentials: true,
      signal,
      ...(isLong && { answerBytes: LONG_ANSWER_BYTES })
    }
  }

  async #askLimits(storage: URL): Promise<ClusterLimits> {
    const { signal } = new AbortController()
    const url = infoUrl(storage)
    using answer = await get({ url, headers: {}, connections: this.#connections, credentials: false, signal })
    if (answer.status !== 200) return DEFAULT_CLUSTER
    return readInfo((await textOf(answer.body, MAX_INFO_BYTES)) ?? '')
  }
}

const patient = (connections: Connections): Connections => ({
  ...connections,
  limits: { ...connections.limits, answerMs: connections.limits.answerMs * LONG_ANSWER_FACTOR }
})

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const stop = Promise.withResolvers<never>()
  const onAbort = () => stop.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, stop.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
