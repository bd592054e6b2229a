import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errorAnswers } from '../schemas/common.ts'

const Document = Type.Unsafe<object>({ type: 'object', description: 'A JSON Schema' })

/** Documents that clients fetch to know the fields of requests and answers; by their names. */
export function schemaRoutes(documents: Readonly<Record<string, object>>): FastifyPluginAsyncTypebox {
  return async (app) => {
    for (const [name, document] of Object.entries(documents)) {
      app.get(
        `/v2/schemas/${name}`,
        {
          config: { access: 'token' },
          schema: {
            operationId: `schemaOf${pascalCase(name)}`,
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

const pascalCase = (name: string): string => name.replaceAll(/(?:^|-)([a-z])/g, (_all, letter) => letter.toUpperCase())
