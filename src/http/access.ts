import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Viewer } from '../domain/viewer.ts'
import type { Identity } from './identity.ts'
import { RequestRefused } from './request-refused.ts'

/** What a route asks of its caller. Every route says one; `public` ones are answered without a token, `token` ones with any. */
type Access = 'public' | 'token' | 'read' | 'write'

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

/** Roles that may use a route; the owner of a task or an image is checked further in, with the row. */
const ROLES: Readonly<Record<'read' | 'write', readonly string[]>> = {
  read: ['reader', 'member', 'admin'],
  write: ['member', 'admin']
}

/**
 * Identity first, before routing and before any body is read: who has no token learns nothing of what exists.
 * `keystoneUri` goes into WWW-Authenticate, for clients to know where to get a token.
 */
export function guardAccess(app: FastifyInstance, identity: Identity, keystoneUri: () => string): void {
  app.decorateRequest('viewer', undefined)
  app.addHook('onRoute', (route) => {
    if (route.url.startsWith(DOCS)) route.config = { ...route.config, access: 'public' }
    if (!route.config?.access) throw new Error(`route ${route.method} ${route.url} does not say who may use it`)
  })
  app.addHook('onRequest', async (request) => {
    const access = request.is404 ? undefined : request.routeOptions.config.access
    if (access === 'public' || request.method === 'OPTIONS') return
    request.viewer = await identity.identify(request.headers)
    if (!request.viewer) throw unauthorized(keystoneUri())
    if (access === 'read' || access === 'write')
      requireRole(request.viewer, access, request.routeOptions.schema?.operationId)
  })
}

/** The caller of a route that is not public. */
export function viewerOf(request: FastifyRequest): Viewer {
  if (!request.viewer) throw new Error('a route that needs a viewer is public')
  return request.viewer
}

function requireRole(viewer: Viewer, access: 'read' | 'write', action = 'this'): void {
  const roles = ROLES[access]
  if (viewer.roles.some((role) => roles.includes(role))) return
  throw new RequestRefused(
    403,
    `You are not authorized to complete ${action} action; it needs one of the roles ${roles.join(', ')}.`
  )
}

const unauthorized = (keystoneUri: string): RequestRefused =>
  new RequestRefused(
    401,
    'This server could not verify that you are authorized to access what you asked for. Either you supplied the wrong ' +
      'credentials (for example a bad token), or your client does not know how to supply them.',
    { headers: { 'www-authenticate': `Keystone uri="${keystoneUri}"` } }
  )
