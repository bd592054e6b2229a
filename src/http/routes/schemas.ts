import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { glanceSchemas } from '../glance-schemas.ts'
import { errorAnswers } from '../schemas/common.ts'

const Document = Type.Unsafe<object>({ type: 'object', description: "A JSON Schema in Glance's dialect" })

/** Documents that clients fetch to know the fields of tasks and images. */
export function schemaRoutes(diskFormats: readonly string[]): FastifyPluginAsyncTypebox {
  return async (app) => {
    for (const [name, document] of Object.entries(glanceSchemas(diskFormats))) {
      app.get(
        `/v2/schemas/${name}`,
        {
          config: { access: 'token' },
          schema: {
            operationId: `schemaOf${name.charAt(0).toUpperCase()}${name.slice(1)}`,
            summary: `The JSON Schema of ${name}`,
            description: 'For clients that look up what fields there are, such as python-glanceclient.',
            tags: ['schemas'],
            response: { ...errorAnswers(), 200: Document }
          }
        },
        async () => document
      )
    }
  }
}
