import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { DestinationInvalid } from '../domain/destination-errors.ts'
import { type Host, readHost } from './host.ts'

export type AddressSettings = {
  /** CIDRs that destinations may be in, besides globally routable addresses. Any port, plain http too. */
  readonly allowedNetworks: readonly string[]
  /** `scheme://host:port` (http, https or sftp) that may be reached whatever address the host has. */
  readonly allowedEndpoints: readonly string[]
}

/** One end of a connection to be made. */
export type Peer = {
  readonly scheme: 'http' | 'https' | 'sftp'
  /** As in `URL.hostname`: an IPv6 address has its brackets. */
  readonly hostname: string
  readonly port: number
  /** Whether secrets of the user will be sent. */
  readonly credentials: boolean
}

/**
 * Decides which destinations may be reached. The network's own egress rules are the first line, this is the second.
 *
 * Allowed are: endpoints the operator listed; addresses in networks the operator listed; and globally routable unicast
 * addresses under a public name: at port 80 or 443, with https when credentials are sent; for SFTP at port 22.
 */
export interface AddressPolicy {
  /**
   * Judges a URL by what can be known without asking the DNS.
   * @throws DestinationInvalid DEST_ADDRESS_FORBIDDEN at `pointer`
   */
  checkHost(url: URL, options: { readonly credentials: boolean; readonly pointer: string }): void
  /** Judges one address that `peer` has; asked for every connection and for every address of the DNS answer. */
  allows(peer: Peer, address: string): boolean
}

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Network = [Address, number]

/** @throws Error naming the setting that cannot be read */
export function createAddressPolicy(settings: AddressSettings): AddressPolicy {
  const networks = settings.allowedNetworks.map(readNetwork)
  const endpoints = new Set(settings.allowedEndpoints.map(readEndpoint))

  const listed = (peer: Peer): boolean => endpoints.has(endpointKey(peer))
  const inNetworks = (address: Address): boolean =>
    networks.some((network) => network[0].kind() === address.kind() && address.match(network))

  const allows = (peer: Peer, text: string): boolean => {
    if (isIP(text) === 0) return false
    const address = ipaddr.process(text)
    return listed(peer) || inNetworks(address) || (isGlobal(address) && isPublic(peer))
  }

  return {
    allows,
    checkHost(url, { credentials, pointer }) {
      const peer = peerOf(url, credentials)
      if (listed(peer)) return
      const host = readHost(peer.hostname)
      if (host.kind === 'address' && allows(peer, host.address)) return
      // A name may turn out to be in a listed network: then the connection decides.
      if (host.kind === 'name' && (networks.length > 0 || isPublic(peer))) return
      throw new DestinationInvalid('DEST_ADDRESS_FORBIDDEN', pointer, explain(url, peer, host))
    }
  }
}

export const peerOf = (url: URL, credentials: boolean): Peer => {
  const scheme = url.protocol === 'https:' ? 'https' : url.protocol === 'sftp:' ? 'sftp' : 'http'
  return { scheme, hostname: url.hostname, port: Number(url.port) || DEFAULT_PORTS[scheme], credentials }
}

const DEFAULT_PORTS = { http: 80, https: 443, sftp: 22 } as const

/** `new URL` makes the host lower case for http and https only. */
const endpointKey = (peer: Peer): string => `${peer.scheme}://${peer.hostname.toLowerCase()}:${peer.port}`

function explain(url: URL, peer: Peer, host: Host): string {
  const remedy = 'or ask the operator to allow this endpoint'
  const publicHost =
    host.kind === 'name' ? !isLocalName(host.name) : host.kind === 'address' && isGlobalText(host.address)
  if (!publicHost) return `${url.host} is not a public address: name a public endpoint, ${remedy}.`
  if (!usesItsPort(peer)) {
    const ports = peer.scheme === 'sftp' ? '22' : '80 or 443'
    return `Port ${peer.port} of ${url.hostname} may not be used: use ${ports}, ${remedy}.`
  }
  return `Credentials are not sent to ${url.host} over plain http: use https, ${remedy}.`
}

const usesItsPort = ({ scheme, port }: Peer): boolean => (scheme === 'sftp' ? port === 22 : port === 80 || port === 443)
const isGlobalText = (address: string): boolean => isGlobal(ipaddr.process(address))

/** What holds for a peer outside the operator's lists, its address aside. */
function isPublic(peer: Peer): boolean {
  const host = readHost(peer.hostname)
  if (host.kind === 'invalid' || (host.kind === 'name' && isLocalName(host.name))) return false
  return usesItsPort(peer) && (peer.scheme !== 'http' || !peer.credentials)
}

/**
 * Names that mean this machine or the network it is in (RFC 6761, RFC 6762, RFC 8375; metadata services use `internal`), and
 * those of Tor, which may not be looked up (RFC 7686).
 */
const LOCAL_SUFFIX = /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|lan|onion|home\.arpa)$/i
const isLocalName = (name: string): boolean => !name.includes('.') || LOCAL_SUFFIX.test(name)

const GLOBAL_V6: Network = ipaddr.parseCIDR('2000::/3')
/** The host agent of Azure, which answers every machine there and nobody outside. */
const AZURE_AGENT = '168.63.129.16'

/**
 * Globally routable unicast, by IANA's special-purpose registries. IPv6 that carries an IPv4 address inside (NAT64, 6to4,
 * Teredo, v4-compatible) is refused whole: the network may send it on to that IPv4 address.
 */
function isGlobal(address: Address): boolean {
  if (address.range() !== 'unicast') return false
  if (address.kind() === 'ipv6' && !address.match(GLOBAL_V6)) return false
  return address.toString() !== AZURE_AGENT
}

function readNetwork(text: string): Network {
  if (!ipaddr.isValidCIDR(text)) throw new Error(`ALLOWED_NETWORKS: ${text} is not a network such as 10.0.0.0/8`)
  return ipaddr.parseCIDR(text)
}

function readEndpoint(text: string): string {
  const url = URL.parse(text)
  // `new URL` gives http(s) the path `/` and sftp none.
  if (url === null || !/^(?:https?:\/\/[^/?@]+\/|sftp:\/\/[^/?@]+\/?)$/.test(url.href)) {
    throw new Error(`ALLOWED_ENDPOINTS: ${text} is not an endpoint such as https://s3.example.org:443`)
  }
  return endpointKey(peerOf(url, false))
}
