type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
type Schemas = Record<string, Json>

const COMPONENT = /^[A-Z][A-Za-z0-9]*$/
/** For our validator alone: OpenAPI's `discriminator` wants names of components, and `kind` is constant in each of them. */
const PRIVATE = new Set(['x-marked-by', 'discriminator'])

/**
 * Moves every schema whose title is one word into `components.schemas` under that name, so that the document says each thing
 * once and generated clients get types with names.
 */
export function withComponents(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const schemas: Schemas = {}
  const { components, ...rest } = structuredClone(document) as {
    components?: { [key: string]: Json }
    [key: string]: Json | undefined
  }
  const moved = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, moveOut(value ?? null, schemas)]))
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
  return { ...moved, components: { ...components, schemas: sorted } }
}

function moveOut(value: Json, schemas: Schemas): Json {
  if (Array.isArray(value)) return value.map((item) => moveOut(item, schemas))
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).filter(([key]) => !PRIVATE.has(key))
  const copy = Object.fromEntries(entries.map(([key, item]) => [key, moveOut(item, schemas)]))
  const { title } = copy
  if (typeof title !== 'string' || !COMPONENT.test(title)) return copy
  const known = schemas[title]
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(copy))
    throw new Error(`two schemas are called ${title}`)
  schemas[title] = copy
  return { $ref: `#/components/schemas/${title}` }
}
