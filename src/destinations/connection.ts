import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import type { AddressPolicy, Peer } from './address.ts'
import { failure } from './failures.ts'

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
  /** Replaces the system's DNS look-up, called as Node calls it. */
  readonly lookup?: LookupFunction
}

/** Keep-alive connections that only ever lead where the address policy allows. Redirects are never followed. */
export interface Connections {
  readonly limits: Limits
  /** The agent for requests to `url`. Those with credentials have their own: the policy is stricter for them. */
  agentFor(url: URL, credentials: boolean): http.Agent
  /** Ends the connections; the ones in use break. */
  close(): void
}

export function createConnections(settings: ConnectionSettings): Connections {
  const agents = {
    https: new GuardedHttpsAgent(settings, true),
    http: new GuardedHttpAgent(settings, false),
    httpWithCredentials: new GuardedHttpAgent(settings, true)
  }
  return {
    limits: settings.limits,
    agentFor(url, credentials) {
      if (url.protocol === 'https:') return agents.https
      return credentials ? agents.httpWithCredentials : agents.http
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy()
    }
  }
}

const AGENT_OPTIONS = {
  keepAlive: true,
  // Servers close idle connections after 5 s or more; a request that meets such a close is lost.
  timeout: 4_000,
  // Node gives each of a host's addresses 250 ms, too little for another continent.
  autoSelectFamilyAttemptTimeout: 2_500
}

type ConnectOptions = http.ClientRequestArgs & { lookup?: LookupFunction }

class GuardedHttpAgent extends http.Agent {
  readonly #guard: Guard

  constructor(settings: ConnectionSettings, credentials: boolean) {
    super(AGENT_OPTIONS)
    this.#guard = new Guard(settings, { secure: false, credentials })
  }

  override createConnection(options: ConnectOptions, callback: (error: Error | null, socket: Duplex) => void) {
    return this.#guard.connect(options, (guarded) => super.createConnection(guarded), callback)
  }
}

class GuardedHttpsAgent extends https.Agent {
  readonly #guard: Guard

  constructor(settings: ConnectionSettings, credentials: boolean) {
    const ca = settings.extraCa === undefined ? {} : { ca: [...tls.getCACertificates('default'), settings.extraCa] }
    super({ ...AGENT_OPTIONS, ...ca, minVersion: 'TLSv1.2', rejectUnauthorized: true })
    this.#guard = new Guard(settings, { secure: true, credentials })
  }

  override createConnection(options: ConnectOptions, callback: (error: Error | null, socket: Duplex) => void) {
    return this.#guard.connect(options, (guarded) => super.createConnection(guarded), callback)
  }
}

/**
 * Asks the policy three times: for an address in the URL (Node does not call `lookup` for it), for every address of a DNS
 * answer, and for the address the socket is connected to.
 */
class Guard {
  readonly #settings: ConnectionSettings
  readonly #kind: Pick<Peer, 'secure' | 'credentials'>

  constructor(settings: ConnectionSettings, kind: Pick<Peer, 'secure' | 'credentials'>) {
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
    const tooSlow = setTimeout(() => socket.destroy(failure('unreachable', name)), this.#settings.limits.connectMs)
    socket.once(this.#kind.secure ? 'secureConnect' : 'connect', () => clearTimeout(tooSlow))
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
