import { isIPv6 } from 'node:net'

/** What the host of a URL is; `invalid` for every spelling that some resolver might read as another address. */
export type Host =
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'invalid' }

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
const OCTET = /^(?:0|[1-9][0-9]{0,2})$/
/** The last label of `2130706433`, `0x7f.1` and `127.1`: the resolver of the system takes such names for IPv4 addresses. */
const NUMERIC_LABEL = /^(?:[0-9]+|0x[0-9a-f]*)$/i

/**
 * Reads the host part of a URL: an IPv6 address in brackets, an IPv4 address of four decimal numbers, or a DNS name
 * (RFC 1123) without the final dot. Names come back as they were written.
 */
export function readHost(host: string): Host {
  if (host.startsWith('[') && host.endsWith(']')) {
    const address = host.slice(1, -1)
    return isIPv6(address) && !address.includes('%') ? { kind: 'address', address } : { kind: 'invalid' }
  }
  const labels = host.split('.')
  if (NUMERIC_LABEL.test(labels.at(-1) ?? '')) {
    const canonical = labels.length === 4 && labels.every((label) => OCTET.test(label) && Number(label) <= 255)
    return canonical ? { kind: 'address', address: host } : { kind: 'invalid' }
  }
  const usable = host.length <= 253 && labels.every((label) => LABEL.test(label))
  return usable ? { kind: 'name', name: host } : { kind: 'invalid' }
}
