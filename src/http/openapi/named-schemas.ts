type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
type Schemas = Record<string, Json>

const NAME = /^[A-Z][A-Za-z0-9]*$/
/** For our validator alone: OpenAPI's `discriminator` wants names of components, and `kind` is constant in each of them. */
const PRIVATE = new Set(['x-marked-by', 'x-optional', 'discriminator'])

/**
 * Moves every schema whose title is one word out of a document, so that it says each thing once and programs made of it get
 * types with names.
 * @param place what a reference to a schema begins with, such as `#/$defs/`
 * @returns the rest of the document, and the schemas by their names
 */
export function extracted(document: object, place: string): { readonly value: unknown; readonly schemas: Schemas } {
  const schemas: Schemas = {}
  const value = moveOut(structuredClone(document) as Json, schemas, place)
  return { value, schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))) }
}

function moveOut(value: Json, schemas: Schemas, place: string): Json {
  if (Array.isArray(value)) return value.map((item) => moveOut(item, schemas, place))
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).filter(([key]) => !PRIVATE.has(key))
  const copy = Object.fromEntries(entries.map(([key, item]) => [key, moveOut(item, schemas, place)]))
  const { title } = copy
  if (typeof title !== 'string' || !NAME.test(title)) return copy
  const known = schemas[title]
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(copy))
    throw new Error(`two schemas are called ${title}`)
  schemas[title] = copy
  return { $ref: `${place}${title}` }
}
