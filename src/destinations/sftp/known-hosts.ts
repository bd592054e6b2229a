import { createHmac } from 'node:crypto'

/** The public keys of a host, as they are sent on the wire (RFC 4253 6.6). */
type HostKeys = {
  readonly trusted: readonly Buffer[]
  /** Never to be taken for the host's, whoever trusts them. */
  readonly revoked: readonly Buffer[]
  /** An authority is named that signs the host's keys. Such signatures are not known here. */
  readonly hasAuthority: boolean
}

/**
 * Finds the keys of a host.
 * @param host a name, or an address without brackets
 */
export type KnownHosts = (host: string, port: number) => HostKeys

/** As `@cert-authority` and `@revoked` have it. */
type Meaning = 'trusted' | 'revoked' | 'authority'
type Line = { readonly meaning: Meaning; readonly key: Buffer; isAbout(name: string): boolean }

const MEANINGS: Readonly<Record<string, Meaning>> = { '@revoked': 'revoked', '@cert-authority': 'authority' }
const SSH_PORT = 22

/**
 * Reads a file of known hosts as OpenSSH writes it: plain and hashed names, patterns, ports, markers.
 * @throws Error naming the line that cannot be read: one that is passed over might be what revokes a key
 * @see sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"
 */
export function readKnownHosts(text: string): KnownHosts {
  const lines = text.split(/\r?\n/).flatMap((line, index) => {
    if (/^\s*(?:#|$)/.test(line)) return []
    const read = readLine(line)
    if (read === undefined) throw new Error(`line ${index + 1} is not one of a known_hosts file`)
    return [read]
  })
  const about = (name: string): HostKeys => {
    const found = lines.filter((line) => line.isAbout(name))
    const keys = (meaning: Meaning) => found.filter((line) => line.meaning === meaning).map(({ key }) => key)
    return { trusted: keys('trusted'), revoked: keys('revoked'), hasAuthority: keys('authority').length > 0 }
  }

  return (host, port) => {
    const plain = about(host.toLowerCase())
    if (port === SSH_PORT) return plain
    const here = about(`[${host.toLowerCase()}]:${port}`)
    // As ssh does: who has no keys for the port has those of the host.
    const { trusted } = here.trusted.length > 0 ? here : plain
    const hasAuthority = here.hasAuthority || plain.hasAuthority
    return { trusted, revoked: [...here.revoked, ...plain.revoked], hasAuthority }
  }
}

function readLine(line: string): Line | undefined {
  const fields = line.trim().split(/\s+/)
  const [marker = ''] = fields
  const meaning = marker.startsWith('@') ? MEANINGS[marker] : 'trusted'
  const [names = '', kind = '', base64 = ''] = meaning === 'trusted' ? fields : fields.slice(1)
  const key = Buffer.from(base64, 'base64')
  const isAbout = namesMatcher(names)
  if (meaning === undefined || isAbout === undefined || kindOf(key) !== kind) return undefined
  return { meaning, key, isAbout }
}

/** Which algorithm a key is for: what its bytes begin with. Undefined for what is no key. */
export function kindOf(key: Buffer): string | undefined {
  if (key.length < 4) return undefined
  const end = 4 + key.readUInt32BE(0)
  return end > 4 && end < key.length ? key.toString('latin1', 4, end) : undefined
}

const HASHED = /^\|1\|([A-Za-z0-9+/]+={0,2})\|([A-Za-z0-9+/]{27}=)$/

/** Whether a name is meant by the first field of a line: one hash, or patterns of which none with `!` may fit. */
function namesMatcher(names: string): ((name: string) => boolean) | undefined {
  if (names.startsWith('|')) {
    const [, salt, hash] = HASHED.exec(names) ?? []
    if (salt === undefined || hash === undefined) return undefined
    return (name) => createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash
  }
  const patterns = names.toLowerCase().split(',')
  if (patterns.some((pattern) => /^!?$/.test(pattern))) return undefined
  const [excluded, included] = [true, false].map((negated) =>
    patterns
      .filter((pattern) => pattern.startsWith('!') === negated)
      .map((pattern) => wildcard(pattern.replace('!', '')))
  )
  return (name) => !!included?.some((fits) => fits.test(name)) && !excluded?.some((fits) => fits.test(name))
}

/** `*` stands for any characters, `?` for one. */
const wildcard = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll(/[^*?\w]/g, '\\$&')
      .replaceAll(/\*+/g, '.*')
      .replaceAll('?', '.')}$`
  )
