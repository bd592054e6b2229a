import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { FastifySchema, FastifySchemaCompiler } from 'fastify'
import { invalidRequest, RequestRefused, type Violation } from './request-refused.ts'

/**
 * Checks requests as they came: nothing is coerced, filled in or stripped, so a field that is not known is an error and not
 * a surprise. All violations are collected; none of their texts repeats a value, which may be a credential.
 */
export function createValidatorCompiler(): FastifySchemaCompiler<NonNullable<FastifySchema['body']>> {
  const ajv = new Ajv({ allErrors: true, verbose: true, discriminator: true, strict: false })
  return ({ schema, httpPart }) => {
    const checks = alternatives(schema).map((branch) => ajv.compile(branch))
    return (data: unknown) => {
      if (data === null && httpPart === 'body') {
        return isOptional(schema) || { error: new RequestRefused(400, 'Body expected in request.') }
      }
      const check = checks.find((candidate) => isMeant(candidate, data)) ?? checks[0]
      if (!check || check(data)) return true
      const others = checks.filter((other) => other !== check).map((other) => other.schema as Form)
      return { error: invalidRequest(violations(check.errors ?? [], others)) }
    }
  }
}

/** Whether a request may come without this body. */
export const isOptional = (schema: unknown): boolean => Object(schema)['x-optional'] === true

/** One of the forms that a body may have. */
type Form = {
  readonly 'x-marked-by'?: readonly string[]
  readonly properties?: Readonly<Record<string, { readonly properties?: object }>>
}

/**
 * A body that may have several forms is checked against the one it means to be, so that its errors are about that one.
 * Which form: the first whose `x-marked-by` fields, one of them, stand in the body, `a/b` being `b` inside `a`; without a
 * match the first form.
 */
const alternatives = (schema: unknown): object[] => {
  const { anyOf } = schema as { anyOf?: object[] }
  return anyOf?.every((branch) => 'x-marked-by' in branch) ? anyOf : [schema as object]
}

const isMeant = (check: ValidateFunction, data: unknown): boolean =>
  ((check.schema as Form)['x-marked-by'] ?? []).some((mark) => holds(data, mark.split('/')))

function holds(data: unknown, [name = '', ...deeper]: readonly string[]): boolean {
  if (typeof data !== 'object' || data === null || !Object.hasOwn(data, name)) return false
  return deeper.length === 0 || holds(Reflect.get(data, name), deeper)
}

/** Checks a value that is no request part as it came, such as a document that a patch was applied to. */
export function createCheck(schema: object): (value: unknown) => RequestRefused | undefined {
  const check = new Ajv({ allErrors: true, verbose: true, strict: false }).compile(schema)
  return (value) => (check(value) ? undefined : invalidRequest(violations(check.errors ?? [])))
}

/** @param others forms that the body was not taken for */
function violations(errors: readonly ErrorObject[], others: readonly Form[] = []): Violation[] {
  // The branches that a oneOf tried are told by the oneOf itself.
  const told = errors.filter(
    ({ schemaPath, keyword }) =>
      keyword !== 'propertyNames' && (!schemaPath.includes('/oneOf/') || schemaPath.includes('/properties/'))
  )
  return told.map((error) => ({ pointer: pointerOf(error), message: messageOf(error, others) }))
}

/** Whether the unknown field of this error is known to another form, there or inside `input`. */
function isOfAnother({ instancePath, params }: ErrorObject, others: readonly Form[]): boolean {
  const known = others.map(({ properties }) => (instancePath === '' ? properties : properties?.input?.properties))
  return (
    ['', '/input'].includes(instancePath) &&
    known.some((names) => Object.hasOwn(names ?? {}, params.additionalProperty))
  )
}

function pointerOf({ instancePath, keyword, params, propertyName }: ErrorObject): string {
  if (propertyName !== undefined) return `${instancePath}/${shorten(propertyName)}` // the name of a field is what is wrong
  if (keyword === 'additionalProperties') return `${instancePath}/${shorten(String(params.additionalProperty))}`
  if (keyword === 'required') return `${instancePath}/${params.missingProperty}`
  if (keyword === 'discriminator') return `${instancePath}/${params.tag}`
  return instancePath
}

function messageOf(error: ErrorObject, others: readonly Form[]): string {
  const { keyword, params, data, parentSchema, message } = error
  switch (keyword) {
    case 'additionalProperties':
      return isOfAnother(error, others)
        ? 'belongs to another form of this request: send one form only'
        : 'is not a known field'
    case 'required':
      return 'is required'
    case 'type':
      return `must be ${named(params.type)}, but is ${typeName(data)}`
    case 'enum':
      return `must be one of ${(params.allowedValues as unknown[]).filter((value) => value !== null).join(', ')}`
    case 'const':
      return `must be ${params.allowedValue}`
    case 'pattern':
      return `must be ${parentSchema?.description ?? 'of another form'}`
    case 'discriminator':
      return `must be one of ${kinds(parentSchema).join(', ')}`
    case 'oneOf':
      return `needs exactly one of ${required(parentSchema).join(', ')}`
    default:
      return message ?? 'is not valid'
  }
}

type Branch = { properties?: { kind?: { const?: string } }; required?: string[] }

const branches = (schema: ErrorObject['parentSchema']): Branch[] => (schema?.oneOf as Branch[] | undefined) ?? []
const kinds = (schema: ErrorObject['parentSchema']) => branches(schema).map(({ properties }) => properties?.kind?.const)
const required = (schema: ErrorObject['parentSchema']) => branches(schema).flatMap((branch) => branch.required ?? [])

const named = (types: string | string[]): string =>
  [types]
    .flat()
    .map((type) => (/^[aio]/.test(type) ? `an ${type}` : type === 'null' ? type : `a ${type}`))
    .join(' or ')

const typeName = (value: unknown): string =>
  named(Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value)

const shorten = (text: string): string => text.slice(0, 64)
