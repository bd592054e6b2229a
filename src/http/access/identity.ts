import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { ownerId } from '../../domain/ids.ts'
import { isInRange } from '../../domain/ip-range.ts'
import type { Secret } from '../../domain/secret.ts'
import type { Viewer } from '../../domain/viewer.ts'

/** What there is to tell a caller by. `peer` is the address at the other end of the connection, which no header can change. */
type Caller = { readonly headers: IncomingHttpHeaders; readonly peer: string }

/** Who sends a request. Undefined is nobody: 401. */
export interface Identity {
  identify(caller: Caller): Viewer | undefined | Promise<Viewer | undefined>
}

const NAME = /^[A-Za-z0-9._@-]{1,64}$/
const MAX_TOKEN = 8192

/**
 * For development: the token says who you are, `user:project:role[,role]`. python-glanceclient sends it percent-encoded.
 * Anybody can be anybody, so the caller listens on loopback only.
 */
export const devIdentity: Identity = {
  identify({ headers }) {
    const token = decode(tokenOf(headers) ?? '')
    const [user, project, roles, ...rest] = token.split(':')
    if (rest.length > 0) return undefined
    return viewer(user, project, roles)
  }
}

/** From whom identity headers are taken: who knows the secret, or without one, who connects from these networks. */
export type TrustedProxies = { readonly networks: readonly string[]; readonly secret?: Secret<string> }

/**
 * For a service behind a proxy that authenticates, sets Keystone's identity headers and strips them from what clients send.
 * Anybody else's identity headers are as good as none.
 * Source: keystonemiddleware's auth_token.
 */
export const trustedHeadersIdentity = (trusted: TrustedProxies): Identity => ({
  identify({ headers, peer }) {
    if (!isTrusted(trusted, headers, peer)) return undefined
    if (single(headers['x-identity-status']) !== 'Confirmed') return undefined
    return viewer(single(headers['x-user-id']), single(headers['x-project-id']), single(headers['x-roles']))
  }
})

function isTrusted({ networks, secret }: TrustedProxies, headers: IncomingHttpHeaders, peer: string): boolean {
  if (!secret) return networks.some((network) => isInRange(peer, network))
  return timingSafeEqual(digest(single(headers['x-proxy-secret']) ?? ''), digest(secret.unwrap()))
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

function viewer(userId?: string, project?: string, roleList?: string): Viewer | undefined {
  const roles = (roleList ?? '').split(',').map((role) => role.trim().toLowerCase())
  if (!userId || !project || project === 'none') return undefined
  if (![userId, project, ...roles].every((name) => NAME.test(name))) return undefined
  return { owner: ownerId(project), userId, roles, admin: roles.includes('admin') }
}

/** The token of a request, under the name of Keystone's middleware or its older one. */
const tokenOf = (headers: IncomingHttpHeaders): string | undefined =>
  single(headers['x-auth-token'] ?? headers['x-storage-token'])

/** Node joins repeated headers with commas, except a few that it gives as a list: none of ours may be repeated. */
const single = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' && value.length <= MAX_TOKEN ? value : undefined

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}
