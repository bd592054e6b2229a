import type { ExportSchemas } from '../schemas/export-request.ts'
import { TaskAnswer } from '../schemas/task.ts'
import { extracted } from './named-schemas.ts'

/**
 * The specification's two to-dos, "define JSON schema for export tasks request" and "response": the schemas that requests
 * are checked against and answers are described by, as documents that stand alone.
 * @see https://json-schema.org/draft/2020-12
 */
export const schemaDocuments = ({
  task
}: ExportSchemas): Readonly<Record<'export-request' | 'export-response', object>> => ({
  'export-request': document('export-request', 'A request to export an image', task),
  'export-response': document('export-response', 'A task that exports an image', TaskAnswer)
})

function document(name: string, title: string, schema: object): object {
  const { value, schemas } = extracted({ ...schema, title }, '#/$defs/')
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:glance-export:schema:${name}`,
    ...Object(value),
    $defs: schemas
  }
}
