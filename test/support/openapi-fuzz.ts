import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import fc from 'fast-check'

type Schema = {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly uniqueItems?: boolean
  readonly examples?: readonly unknown[]
}
type Parameter = { readonly in: string; readonly name: string; readonly schema: Schema }
export type Operation = {
  /** Whether it needs no token. */
  readonly open: boolean
  readonly operationId: string
  readonly method: string
  readonly path: string
  readonly parameters: readonly Parameter[]
  /** Of JSON bodies; undefined where there are none. */
  readonly bodyType: string | undefined
  readonly body: Schema | undefined
  /** Whether a JSON value is a body that the document allows. */
  readonly allows: (body: unknown) => boolean
}
export type Document = {
  readonly paths: Record<string, Record<string, DocumentedOperation>>
  readonly components: object
}
type DocumentedOperation = {
  readonly operationId: string
  readonly parameters?: readonly Parameter[]
  readonly security?: readonly object[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> }
}

/** Every operation of an OpenAPI document that takes anything. */
export function operationsOf(document: Document): Operation[] {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false })
  ajv.addSchema({ $id: 'urn:api:document', components: document.components })
  const compile = (schema: Schema): ValidateFunction =>
    ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"urn:api:document#/components/')))
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { operationId, parameters = [], requestBody, security }]) => {
      const types = Object.entries(requestBody?.content ?? {})
      const [bodyType, content] = types.find(([type]) => type.includes('json')) ?? []
      const body = content?.schema
      const check = body && compile(body)
      const allows = (value: unknown) => check?.(value) ?? true
      return [
        {
          open: security !== undefined,
          operationId,
          method: method.toUpperCase(),
          path,
          parameters,
          bodyType,
          body,
          allows
        }
      ]
    })
  )
}

/** Values for fields and parameters by their names, so that many requests are about something that is there. */
export type Known = Readonly<Record<string, readonly unknown[]>>

export type FuzzedRequest = {
  readonly operation: Operation
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** Requests of an operation: as its document has them, and with something wrong, anywhere. */
export function requestsOf(operation: Operation, document: Document, known: Known): fc.Arbitrary<FuzzedRequest> {
  const make = new Values(document, known)
  const inPath = operation.parameters.filter((parameter) => parameter.in === 'path')
  const inQuery = operation.parameters.filter((parameter) => parameter.in === 'query')
  const segments = fc.tuple(
    ...inPath.map(({ name }) => fc.oneof({ weight: 5, arbitrary: make.named(name) }, HOSTILE_TEXT))
  )
  const query = fc
    .subarray(inQuery)
    .chain((chosen) =>
      fc.tuple(
        ...chosen.map(({ name, schema }) =>
          fc
            .oneof({ weight: 2, arbitrary: make.of(schema, name).map(String) }, HOSTILE_TEXT)
            .map((value) => `${name}=${encode(value)}`)
        )
      )
    )
  const body = operation.body ? bodies(make.of(operation.body, '')) : fc.constant(undefined)
  return fc.record({ segments, query, body, headers: HEADERS }).map((parts) => {
    const path = inPath.reduce(
      (url, { name }, index) => url.replace(`{${name}}`, encode(String(parts.segments[index]))),
      operation.path
    )
    const url = parts.query.length > 0 ? `${path}?${parts.query.join('&')}` : path
    return { operation, url, headers: parts.headers, body: parts.body }
  })
}

/** The smallest body that an operation takes; undefined where it takes none. */
export function leastBody({ body }: Operation, document: Document, known: Known): unknown {
  return body && new Values(document, known).least(body, '')
}

const CANARY = 's3cr3t-CANARY'
const SECRET =
  /^(?:secret|password|token|key|passphrase|private_key|query|value|customer_key)|_key$|_sig$|_pem$|session_token/

/** Valid values of schemas, near enough. */
class Values {
  readonly #components: unknown
  readonly #known: Known

  constructor(document: Document, known: Known) {
    this.#components = document.components
    this.#known = known
  }

  named(name: string): fc.Arbitrary<unknown> {
    return fc.constantFrom(...(this.#known[name] ?? ['x']))
  }

  /** What is required and nothing else; the first where there is a choice. */
  least(schema: Schema, name: string): unknown {
    if (schema.$ref) return this.least(this.#resolve(schema.$ref), name)
    const [known] = this.#known[name] ?? []
    if (known !== undefined) return known
    const [first] = [schema.const, ...(schema.enum ?? []), ...(schema.examples ?? [])].filter(
      (one) => one !== undefined
    )
    if (first !== undefined && schema.type !== 'object') return first
    const [branch] = schema.anyOf ?? (schema.properties ? [] : (schema.oneOf ?? []))
    if (branch) return this.least(branch, name)
    if (schema.type === 'array') return [this.least(schema.items ?? {}, '')]
    if (schema.type !== 'object') return schema.type === 'string' || schema.type === undefined ? 'x' : 1
    const names = [...(schema.required ?? []), ...(schema.oneOf?.[0]?.required ?? [])]
    return Object.fromEntries(names.map((field) => [field, this.least(schema.properties?.[field] ?? {}, field)]))
  }

  of(schema: Schema, name: string): fc.Arbitrary<unknown> {
    if (schema.$ref) return this.of(this.#resolve(schema.$ref), name)
    if (this.#known[name]) return this.named(name)
    if (schema.const !== undefined) return fc.constant(schema.const)
    if (schema.enum) return fc.constantFrom(...schema.enum)
    const branches = schema.anyOf ?? (schema.properties ? undefined : schema.oneOf)
    if (branches) return fc.oneof(...branches.map((branch) => this.of(branch, name)))
    switch ([schema.type].flat()[0]) {
      case 'object':
        return this.#object(schema)
      case 'array':
        return fc.array(this.of(schema.items ?? {}, ''), { maxLength: 3 })
      case 'integer':
      case 'number':
        return fc.integer({ min: schema.minimum ?? -5, max: Math.min(schema.maximum ?? 1e6, 2 ** 31) })
      case 'boolean':
        return fc.boolean()
      case 'null':
        return fc.constant(null)
      default:
        return SECRET.test(name) ? fc.constant(CANARY) : text(schema)
    }
  }

  #object({ properties = {}, required = [], additionalProperties, oneOf }: Schema): fc.Arbitrary<unknown> {
    const fields = Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, this.of(field, name)]))
    const needed = fc.constantFrom(...(oneOf ?? [{}])).map((branch) => [...required, ...(branch.required ?? [])])
    const record = needed.chain((requiredKeys) => fc.record(fields, { requiredKeys }))
    if (typeof additionalProperties !== 'object') return record
    const more = fc.dictionary(fc.constantFrom('a', 'b-1', 'ticket'), this.of(additionalProperties, ''), { maxKeys: 2 })
    return fc.tuple(record, more).map(([one, two]) => ({ ...two, ...one }))
  }

  #resolve(reference: string): Schema {
    const path = reference.replace('#/components/', '').split('/')
    return path.reduce<unknown>((value, key) => Object(value)[key], this.#components) as Schema
  }
}

function text({ pattern, examples, minLength = 0, maxLength = 40 }: Schema): fc.Arbitrary<unknown> {
  const given = fc.constantFrom(...(examples?.length ? examples : ['x'.repeat(Math.max(1, minLength))]))
  if (pattern === undefined) return fc.oneof(given, fc.string({ minLength, maxLength: Math.min(maxLength, 60) }))
  try {
    return fc.oneof(given, fc.stringMatching(new RegExp(pattern, 'u')))
  } catch {
    return given // fast-check has no generator for it
  }
}

const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const HOSTILE: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e308, 2 ** 53, [], {}, [[]], { a: null }, JSON.parse(deep(20)), JSON.parse(deep(40))],
  ...['', ' ', '\0', 'a\0b', '\ud800', 'x\udc00', '\u202e', '\ufeff', '\r\nX: y', '../../etc/passwd', '%00', '{}'],
  ...['__proto__', 'constructor', "'; drop table tasks; --", 'x'.repeat(5000), 'é'.repeat(300), '1e999'],
  { constructor: { prototype: { admin: true } } },
  { toString: 1, valueOf: 2, hasOwnProperty: 3 }
]
const HOSTILE_TEXT = fc.constantFrom(...HOSTILE.filter((value) => typeof value === 'string'), 'x'.repeat(1500))
const HEADERS = fc.record(
  {
    'content-type': fc.constantFrom(
      'application/json',
      'text/plain',
      'application/xml',
      'a/b;c',
      '',
      'multipart/form-data'
    ),
    'idempotency-key': fc.constantFrom('k', '"k"', '', 'é', 'x'.repeat(300), '""'),
    'if-match': fc.constantFrom('*', '"1"', 'W/"1"', 'x', '"'.repeat(9)),
    'if-none-match': fc.constantFrom('*', '"1"', 'x'),
    prefer: fc.constantFrom('wait=0', 'wait=x', 'wait=-1', 'respond-async', ',,,'),
    accept: fc.constantFrom('*/*', 'text/html', 'nonsense', 'application/vnd.openstack.images-v2.99'),
    range: fc.constantFrom('bytes=0-1', 'bytes=-', 'bytes=9-1', 'x')
  },
  { requiredKeys: [] }
)

/** A well-formed percent-encoding of any text, and what is none. */
const encode = (value: string): string => (value.isWellFormed() ? encodeURIComponent(value) : '%ed%a0%80')

/** JSON texts: of a valid value, of one with a hostile piece somewhere, and what no JSON.stringify would write. */
const bodies = (valid: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 4, arbitrary: valid.map(toText) },
    {
      weight: 8,
      arbitrary: fc
        .tuple(valid, fc.nat(), fc.constantFrom(...HOSTILE))
        .map(withHostilePiece)
        .map(toText)
    },
    { weight: 2, arbitrary: fc.tuple(valid, fc.nat()).map(([value, at]) => toText(withoutPiece(value, at))) },
    {
      weight: 4,
      arbitrary: fc.tuple(valid.map(toText), fc.constantFrom(...BREAKS)).map(([json, broken]) => broken(json))
    },
    fc.constantFrom(...HOSTILE).map(toText)
  )

const toText = (value: unknown): string => JSON.stringify(value) ?? ''

const BREAKS: readonly ((json: string) => string)[] = [
  (json) => json.slice(0, -1),
  (json) => `${json}}`,
  (json) => `\ufeff${json}`,
  (json) => json.replaceAll('"', "'"),
  (json) => json.replace('{', '{"__proto__":{"admin":true},'),
  (json) => json.replace('{', '{"constructor":{"prototype":1},'),
  (json) => json.replace(/^\{("[^"]+":[^,{[]+),/, '{$1,$1,'),
  (json) => json.replace('{', `{"deep":${deep(33)},`),
  (json) => json.replace('{', `{"deep":${deep(5000)},`),
  (json) => json.replace('{', `{"big":"${'x'.repeat(70_000)}",`),
  (json) => json.replace('{', `{${Array.from({ length: 3000 }, (_, index) => `"k${index}":0`).join()},`),
  (json) => json.replace(/:("[^"]*"|\d+)/, ':1e999'),
  (json) => json.replace(/:("[^"]*"|\d+)/, ':NaN'),
  (json) => json.replace(/:"([^"]*)"/, ':"\\ud800$1"'),
  (json) => json.replace(/:"([^"]*)"/, ':"\\u0000$1"'),
  (json) => json.replace(/:"([^"]*)"/, ':"$1\t"'),
  () => '',
  () => deep(30_000)
]

/** The paths of a value's pieces, itself among them. */
function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path]
  return [path, ...Object.entries(value).flatMap(([key, piece]) => pathsOf(piece, [...path, key]))]
}

function withHostilePiece([value, at, hostile]: [unknown, number, unknown]): unknown {
  const paths = pathsOf(value)
  const path = paths[at % paths.length] ?? []
  // Half of the time beside what is there, under a name of nobody's.
  return replaced(value, at % 2 === 0 ? path : [...path, 'unknown'], hostile)
}

function withoutPiece(value: unknown, at: number): unknown {
  const paths = pathsOf(value).filter((path) => path.length > 0)
  return replaced(value, paths[at % Math.max(1, paths.length)] ?? [], undefined)
}

function replaced(value: unknown, [key, ...rest]: readonly string[], piece: unknown): unknown {
  if (key === undefined) return piece
  if (typeof value !== 'object' || value === null) return piece
  const changed = replaced(Reflect.get(value, key), rest, piece)
  return Array.isArray(value) ? value.toSpliced(Number(key) || 0, 1, changed) : { ...value, [key]: changed }
}

/** What every answer to whatever was sent has to be. @throws Error naming what is wrong with it */
export function assertSoundAnswer(
  { operation, body }: FuzzedRequest,
  answer: { readonly status: number; readonly text: string; readonly type: string }
): void {
  const { status, text, type } = answer
  const wrong = (what: string) => new Error(`${operation.operationId} ${what}: ${status} ${text.slice(0, 500)}`)
  if (status >= 500) throw wrong('failed on our side')
  if (text.includes('CANARY')) throw wrong('repeats a secret')
  if (status >= 400 && !isGlanceError(status, text, type)) throw wrong('answers no error that clients can read')
  if (status < 300 && operation.body && !isAllowed(operation, body))
    throw wrong(`takes what its document does not: ${body}`)
}

function isAllowed({ allows }: Operation, body = ''): boolean {
  try {
    return body === '' || allows(JSON.parse(body.replace(/^\ufeff/, ''))) // RFC 8259: a byte order mark may be ignored
  } catch {
    return false
  }
}

function isGlanceError(status: number, text: string, type: string): boolean {
  if (!/^application\/json(?:; charset=utf-8)?$/.test(type)) return false
  const { error, ...beside } = JSON.parse(text)
  return (
    Object.keys(beside).length === 0 &&
    error?.code === status &&
    typeof error.title === 'string' &&
    typeof error.message === 'string' &&
    error.message !== ''
  )
}
