import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import type { AddressPolicy, Peer } from './address.ts'
import { failure } from './failures.ts'
import { type Handshake, shakeHands } from './handshake.ts'
import { reportResetsLate } from './last-words.ts'
import type { TlsOptions } from './tls.ts'

/** How long a destination may be silent, in milliseconds. */
export type Limits = {
  /** From the DNS question to the end of the TLS handshake. */
  readonly connectMs: number
  /** While it takes no bytes. */
  readonly idleMs: number
  /** From the last byte sent to the whole answer's head. */
  readonly answerMs: number
}

export const DEFAULT_LIMITS: Limits = { connectMs: 10_000, idleMs: 60_000, answerMs: 60_000 }

export type ConnectionSettings = {
  readonly policy: AddressPolicy
  readonly limits: Limits
  /** PEM of authorities the operator trusts besides the well-known ones. */
  readonly extraCa?: string
  /** What one target wants besides. */
  readonly tls?: TlsOptions
  /** Replaces the system's DNS look-up, called as Node calls it. */
  readonly lookup?: LookupFunction
}

/** Keep-alive connections that only ever lead where the address policy allows. Redirects are never followed. */
export interface Connections {
  readonly limits: Limits
  /** The agent for requests to `url`. Those with credentials have their own: the policy is stricter for them. */
  agentFor(url: URL, credentials: boolean): http.Agent
  /**
   * What one target uses: connections of its own where it has its own authorities, name or certificate, these where it has
   * not. Dispose of it when the target is done; of these connections nothing is closed by that.
   */
  withTls(options: TlsOptions | undefined): Connections & Disposable
  /**
   * Connects to `url`, for https with TLS, and hangs up.
   * @returns what the handshake agreed on; undefined for http
   * @throws DestinationError; the reason of `signal`
   */
  handshake(url: URL, credentials: boolean, signal: AbortSignal): Promise<Handshake | undefined>
  /** Ends the connections; the ones in use break. */
  close(): void
}

export function createConnections(settings: ConnectionSettings): Connections {
  const secure = secureOptions(settings)
  const agents = {
    https: new GuardedHttpsAgent(settings, secure),
    http: new GuardedHttpAgent(settings, false),
    httpWithCredentials: new GuardedHttpAgent(settings, true)
  }
  const connections: Connections = {
    limits: settings.limits,
    agentFor: (url, credentials) => agentOf(url, credentials),
    withTls(options) {
      if (options === undefined) return { ...connections, [Symbol.dispose]() {} }
      const own = createConnections({ ...settings, tls: options })
      return { ...own, [Symbol.dispose]: () => own.close() }
    },
    handshake: (url, credentials, signal) => {
      const agent = agentOf(url, credentials)
      return shakeHands((options, fail) => agent.createConnection({ ...options, ...secure }, fail), url, signal)
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy()
    }
  }
  const agentOf = (url: URL, credentials: boolean) => {
    if (url.protocol === 'https:') return agents.https
    return credentials ? agents.httpWithCredentials : agents.http
  }
  return connections
}

const AGENT_OPTIONS = {
  keepAlive: true,
  // Servers close idle connections after 5 s or more; a request that meets such a close is lost.
  timeout: 4_000,
  // Node gives each of a host's addresses 250 ms, too little for another continent.
  autoSelectFamilyAttemptTimeout: 2_500
}

type ConnectOptions = http.ClientRequestArgs & { lookup?: LookupFunction }
type SecureOptions = Pick<
  tls.ConnectionOptions,
  'minVersion' | 'rejectUnauthorized' | 'ca' | 'servername' | 'cert' | 'key'
>

class GuardedHttpAgent extends http.Agent {
  readonly #guard: Guard

  constructor(settings: ConnectionSettings, credentials: boolean) {
    super(AGENT_OPTIONS)
    this.#guard = new Guard(settings, { scheme: 'http', credentials })
  }

  override createConnection(options: ConnectOptions, callback: (error: Error | null, socket: Duplex) => void) {
    return this.#guard.connect(options, (guarded) => super.createConnection(guarded), callback)
  }
}

class GuardedHttpsAgent extends https.Agent {
  readonly #guard: Guard

  constructor(settings: ConnectionSettings, secure: SecureOptions) {
    super({ ...AGENT_OPTIONS, ...secure })
    this.#guard = new Guard(settings, { scheme: 'https', credentials: true })
  }

  override createConnection(options: ConnectOptions, callback: (error: Error | null, socket: Duplex) => void) {
    return this.#guard.connect(options, (guarded) => super.createConnection(guarded), callback)
  }
}

/** Authorities of the operator and of the target come on top of the well-known ones. */
function secureOptions({ extraCa, tls: own = {} }: ConnectionSettings): SecureOptions {
  const more = [extraCa, own.ca].filter((pem) => pem !== undefined)
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...(more.length > 0 && { ca: [...tls.getCACertificates('default'), ...more] }),
    ...(own.serverName !== undefined && { servername: own.serverName }),
    ...(own.cert !== undefined && { cert: own.cert }),
    ...(own.key !== undefined && { key: own.key })
  }
}

/**
 * Asks the policy three times: for an address in the URL (Node does not call `lookup` for it), for every address of a DNS
 * answer, and for the address the socket is connected to.
 */
export class Guard {
  readonly #settings: ConnectionSettings
  readonly #kind: Pick<Peer, 'scheme' | 'credentials'>

  constructor(settings: ConnectionSettings, kind: Pick<Peer, 'scheme' | 'credentials'>) {
    this.#settings = settings
    this.#kind = kind
  }

  connect(
    options: ConnectOptions,
    create: (guarded: ConnectOptions) => Duplex | null | undefined,
    callback: (error: Error | null, socket: Duplex) => void
  ): Duplex | null | undefined {
    const host = options.host ?? ''
    const peer: Peer = { ...this.#kind, hostname: isIP(host) === 6 ? `[${host}]` : host, port: Number(options.port) }
    const name = `${peer.hostname}:${peer.port}`
    const forbidden = () => failure('addressForbidden', name)

    if (isIP(host) !== 0 && !this.#settings.policy.allows(peer, host)) {
      const refuse: (error: Error) => void = callback as (error: Error) => void
      process.nextTick(refuse, forbidden())
      return undefined
    }
    const socket = create({ ...options, lookup: this.#lookup(peer, forbidden) }) as Socket
    reportResetsLate(socket)
    const tooSlow = setTimeout(() => socket.destroy(failure('unreachable', name)), this.#settings.limits.connectMs)
    socket.once(this.#kind.scheme === 'https' ? 'secureConnect' : 'connect', () => clearTimeout(tooSlow))
    socket.once('close', () => clearTimeout(tooSlow))
    socket.prependOnceListener('connect', () => {
      if (!this.#settings.policy.allows(peer, socket.remoteAddress ?? '')) socket.destroy(forbidden())
    })
    return socket
  }

  /** Answers with the addresses that were judged, so that nothing is resolved a second time. */
  #lookup(peer: Peer, forbidden: () => Error): LookupFunction {
    const lookup = this.#settings.lookup ?? (systemLookup as LookupFunction)
    return (hostname, options, callback) => {
      lookup(hostname, { ...options, all: true }, (error, answer, family) => {
        if (error) return callback(error, [])
        const addresses: LookupAddress[] =
          typeof answer === 'string' ? [{ address: answer, family: family ?? 0 }] : answer
        const allowed =
          addresses.length > 0 && addresses.every(({ address }) => this.#settings.policy.allows(peer, address))
        const first = addresses[0]
        if (!allowed || first === undefined) return callback(forbidden(), [])
        return options.all ? callback(null, addresses) : callback(null, first.address, first.family)
      })
    }
  }
}
