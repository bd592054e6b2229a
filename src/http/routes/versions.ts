import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { serviceDocs as docs } from '../openapi/route-docs.ts'

const Versions = Type.Object(
  {
    versions: Type.Array(
      Type.Object({
        id: Type.String({ examples: ['v2.12'] }),
        status: Type.String(),
        links: Type.Array(Type.Object({ rel: Type.String(), href: Type.String() }))
      })
    )
  },
  { title: 'Versions', description: "Glance's versions document" }
)

/** Minor versions that clients ask for to know what there is. 2.12 has the tasks of an image, 2.9 all that an image has here. */
export const VERSIONS = [12, 9, 7, 6, 5, 4, 3, 2, 1, 0].map((minor) => `v2.${minor}`)

/** What clients discover the service by: Glance's versions document. Links come from `publicUrl`, never from a request. */
export function versionRoutes(publicUrl: () => string): FastifyPluginAsyncTypebox {
  const document = () => {
    const href = `${publicUrl().replace(/\/+$/, '')}/v2/`
    const versions = VERSIONS.map((id, index) => ({
      id,
      status: index === 0 ? 'CURRENT' : 'SUPPORTED',
      links: [{ rel: 'self', href }]
    }))
    return { versions }
  }

  return async (app) => {
    app.get(
      '/',
      {
        config: { access: 'public' },
        schema: { ...docs('discover', 'Versions, to choose from'), response: { 300: Versions } }
      },
      async (_request, reply) => reply.code(300).send(document())
    )
    app.get(
      '/versions',
      { config: { access: 'public' }, schema: { ...docs('listVersions', 'Versions'), response: { 200: Versions } } },
      async () => document()
    )
    app.get('/versions/', { config: { access: 'public' }, schema: { hide: true } }, async () => document())
    app.get('/v2', { config: { access: 'public' }, schema: { hide: true } }, async (_request, reply) =>
      reply.redirect('/v2/', 302)
    )
  }
}
