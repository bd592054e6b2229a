import { isOptional } from '../requests/validation.ts'
import { extracted } from './named-schemas.ts'

/** The document with its named schemas in `components.schemas`. */
export function withComponents(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { components, ...rest } = structuredClone(document)
  for (const operation of Object.values(Object(rest.paths)).flatMap((item) => Object.values(Object(item)))) {
    markOptional(Object(operation).requestBody)
  }
  const { value, schemas } = extracted(rest, '#/components/schemas/')
  return { ...Object(value), components: { ...Object(components), schemas } }
}

type RequestBody = { required: boolean; readonly content: Readonly<Record<string, { readonly schema: object }>> }

/** Every body is taken for required, also one that may be left out. */
function markOptional(body: RequestBody | undefined): void {
  if (body && Object.values(body.content).some(({ schema }) => isOptional(schema))) body.required = false
}
