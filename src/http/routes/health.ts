import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { serviceDocs as docs } from '../openapi/route-docs.ts'
import type { Health } from '../uses.ts'

const Readiness = Type.Object(
  { ready: Type.Boolean(), reasons: Type.Array(Type.String()) },
  { title: 'Readiness', description: 'What is missing, if something is' }
)

/** `/healthcheck` as Glance answers it: the process is alive. `/readyz`: it can serve. */
export function healthRoutes(health: Health): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/healthcheck',
      {
        config: { access: 'public' },
        schema: {
          ...docs('healthcheck', 'Whether the process is alive'),
          produces: ['text/plain'],
          response: { 200: Type.String({ description: 'OK' }) }
        }
      },
      async (request, reply) =>
        request.headers.accept?.includes('application/json')
          ? reply.type('application/json').send(JSON.stringify({ detailed: false, reasons: ['OK'] }))
          : reply.type('text/plain').send('OK')
    )
    app.head('/healthcheck', { config: { access: 'public' }, schema: { hide: true } }, async (_request, reply) =>
      reply.code(204).send()
    )
    app.get(
      '/readyz',
      {
        config: { access: 'public' },
        schema: {
          ...docs('ready', 'Whether the service can serve'),
          response: { 200: Readiness, 503: Readiness }
        }
      },
      async (_request, reply) => {
        const { ok, reasons } = await health.ready()
        return reply.code(ok ? 200 : 503).send({ ready: ok, reasons: [...reasons] })
      }
    )
  }
}
