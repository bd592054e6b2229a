import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Viewer } from '../../domain/viewer.ts'
import { viewerOf } from '../access/guard.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { Capabilities } from '../schemas/capabilities.ts'
import { errorAnswers } from '../schemas/common.ts'

const docs = docsOf('service', {})

export type CapabilitiesOf = (viewer: Viewer) => Promise<Capabilities>

export function capabilityRoutes(capabilities: CapabilitiesOf): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/v2/capabilities',
      {
        schema: {
          ...docs('showCapabilities', 'What this service can do, and what the project has used'),
          response: { ...errorAnswers(), 200: Capabilities }
        }
      },
      (request) => capabilities(viewerOf(request))
    )
  }
}
