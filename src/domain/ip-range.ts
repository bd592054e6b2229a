import { BlockList, isIP } from 'node:net'

type Range = { readonly address: string; readonly family: 'ipv4' | 'ipv6'; readonly bits: number }

/** Whether the text is an address, or a network in CIDR notation such as `203.0.113.0/24` or `2001:db8::/32`. */
export const isIpRange = (text: string): boolean => parse(text) !== undefined

/** Whether the address lies in the range; IPv4 addresses also as IPv6 writes them (`::ffff:203.0.113.5`). False for what is neither. */
export function isInRange(address: string, range: string): boolean {
  const network = parse(range)
  const family = isIP(address)
  if (!network || family === 0) return false
  const list = new BlockList()
  list.addSubnet(network.address, network.bits, network.family)
  return list.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

function parse(text: string): Range | undefined {
  const [, address = '', digits] = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const family = isIP(address)
  const widest = family === 4 ? 32 : 128
  const bits = digits === undefined ? widest : Number(digits)
  return family === 0 || bits > widest ? undefined : { address, family: family === 4 ? 'ipv4' : 'ipv6', bits }
}
