import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Viewer } from '../../domain/viewer.ts'
import { RequestRefused } from '../requests/request-refused.ts'
import type { Identity } from './identity.ts'
import { type Action, isAction, requireRole } from './policy.ts'
import type { RateLimits } from './rate-limits.ts'

/** `public` routes are answered without a token, `token` ones with any. All others are actions of `policy.ts`. */
type Access = 'public' | 'token'

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
  }
  interface FastifyRequest {
    /** Who asks; absent on public routes only. */
    viewer: Viewer | undefined
  }
}

/** Where the pages of the documentation are, whose routes a plugin makes. */
export const DOCS = '/docs'

type Guard = {
  readonly identity: Identity
  readonly rateLimits: RateLimits
  /** Goes into WWW-Authenticate, for clients to know where to get a token. */
  readonly keystoneUri: () => string
}

/** Identity first, before routing and before any body is read: who has no token learns nothing of what exists. */
export function guardAccess(app: FastifyInstance, { identity, rateLimits, keystoneUri }: Guard): void {
  app.decorateRequest('viewer', undefined)
  app.addHook('onRoute', (route) => {
    if (route.url.startsWith(DOCS)) route.config = { ...route.config, access: 'public' }
    if (!isOpen(route.config?.access) && !isAction(route.schema?.operationId))
      throw new Error(`route ${route.method} ${route.url} does not say who may use it, here or in policy.ts`)
  })
  app.addHook('onRequest', async (request) => {
    const { config, schema } = request.routeOptions
    const access = request.is404 ? 'token' : config.access
    if (access === 'public' || request.method === 'OPTIONS') return
    request.viewer = await identity.identify({ headers: request.headers, peer: request.socket.remoteAddress ?? '' })
    if (!request.viewer) {
      await rateLimits.ofRefused(request)
      throw unauthorized(keystoneUri())
    }
    await rateLimits.ofProject(request)
    if (access !== 'token') requireRole(request.viewer, schema?.operationId as Action)
  })
}

const isOpen = (access: Access | undefined): boolean => access === 'public' || access === 'token'

/** The caller of a route that is not public. */
export function viewerOf(request: FastifyRequest): Viewer {
  if (!request.viewer) throw new Error('a route that needs a viewer is public')
  return request.viewer
}

const unauthorized = (keystoneUri: string): RequestRefused =>
  new RequestRefused(
    401,
    'This server could not verify that you are authorized to access what you asked for. Either you supplied the wrong ' +
      'credentials (for example a bad token), or your client does not know how to supply them.',
    { headers: { 'www-authenticate': `Keystone uri="${keystoneUri}"` } }
  )
