import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RequestRefused } from './request-refused.ts'

/**
 * What no route takes: 405 with `Allow` where the path is known by another method, 200 to OPTIONS there, and 404.
 * Register before the routes.
 */
export function answerUnknown(app: FastifyInstance): void {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    methods.set(url, new Set([...(methods.get(url) ?? []), ...[method].flat()]))
  })

  app.setNotFoundHandler(async (request, reply) => {
    const allowed = [...methods].filter(([url]) => matches(url, request)).flatMap(([, names]) => [...names])
    if (allowed.length === 0) throw new RequestRefused(404, 'The resource could not be found.')
    const allow = allowed.sort().join(', ')
    if (request.method === 'OPTIONS') return reply.code(200).header('allow', allow).send()
    throw new RequestRefused(405, `The method is not allowed for this resource; allowed: ${allow}.`, {
      headers: { allow }
    })
  })
}

/** Paths of routes are text and `:name` segments. */
function matches(url: string, request: FastifyRequest): boolean {
  const pattern = url.split('/')
  const path = (request.url.split('?')[0] ?? '').split('/')
  return (
    pattern.length === path.length &&
    pattern.every((segment, index) => (segment.startsWith(':') ? path[index] !== '' : segment === path[index]))
  )
}
