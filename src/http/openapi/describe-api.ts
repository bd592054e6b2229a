import { fastifySwagger } from '@fastify/swagger'
import { fastifySwaggerUi } from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { DOCS } from '../access/guard.ts'
import { withComponents } from './components.ts'

const DESCRIPTION = `Takes images of virtual machines out of a cloud: Glance's tasks API with the task type \`export\`.

Create a task, then poll it until \`task_status\` is \`success\` or \`failure\`. The image cannot be deleted meanwhile. Credentials
are sealed at once, never returned, and wiped when the task ends.`

/**
 * Describes the routes that are registered after it: `/openapi.json` and a page to try them at `/docs`.
 * @param publicUrl whose path is in front of theirs, where a proxy takes it away
 */
export function describeApi(app: FastifyInstance, publicUrl: () => string): void {
  app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'glance-export',
        version: '2.12',
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
      },
      tags: [
        { name: 'tasks', description: 'Exports' },
        { name: 'exports', description: 'Files to download by temporary URL' },
        { name: 'images', description: 'Images of the library and their data' },
        { name: 'schemas', description: 'What fields there are, for clients' },
        { name: 'service', description: 'Discovery and health' }
      ],
      components: {
        securitySchemes: {
          token: { type: 'apiKey', in: 'header', name: 'X-Auth-Token', description: 'A Keystone token' }
        }
      },
      security: [{ token: [] }]
    },
    transformObject: (made) => {
      const servers = [{ url: new URL(publicUrl()).pathname, description: 'This service' }]
      return withComponents('openapiObject' in made ? { ...made.openapiObject, servers } : {})
    }
  })
  // Without the bar on top, which is the library's.
  const page = { uiConfig: { layout: 'BaseLayout' }, theme: { title: 'glance-export' } }
  app.register(fastifySwaggerUi, { routePrefix: DOCS, ...page })
  app.register(async (scope) => {
    scope.get('/openapi.json', { config: { access: 'public' }, schema: { hide: true } }, async () => app.swagger())
  })
}
