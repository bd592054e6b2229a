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
      if (data === null && httpPart === 'body') return { error: new RequestRefused(400, 'Body expected in request.') }
      const check = checks.find((candidate) => isMeant(candidate, data)) ?? checks[0]
      return !check || check(data) ? true : { error: invalidRequest(violations(check.errors ?? [])) }
    }
  }
}

/**
 * A body that may have several forms is checked against the one it means to be, so that its errors are about that one.
 * Which form: the first whose `x-marked-by` fields, one of them, stand in the body; without a match the first form.
 */
const alternatives = (schema: unknown): object[] => {
  const { oneOf } = schema as { oneOf?: object[] }
  return oneOf?.every((branch) => 'x-marked-by' in branch) ? oneOf : [schema as object]
}

function isMeant(check: ValidateFunction, data: unknown): boolean {
  const { 'x-marked-by': marks } = check.schema as { 'x-marked-by'?: readonly string[] }
  return typeof data === 'object' && data !== null && (marks ?? []).some((mark) => Object.hasOwn(data, mark))
}

/** Checks a value that is no request part as it came, such as a document that a patch was applied to. */
export function createCheck(schema: object): (value: unknown) => RequestRefused | undefined {
  const check = new Ajv({ allErrors: true, verbose: true, strict: false }).compile(schema)
  return (value) => (check(value) ? undefined : invalidRequest(violations(check.errors ?? [])))
}

function violations(errors: readonly ErrorObject[]): Violation[] {
  // The branches that a oneOf tried are told by the oneOf itself.
  const told = errors.filter(({ schemaPath }) => !schemaPath.includes('/oneOf/') || schemaPath.includes('/properties/'))
  return told.map((error) => ({ pointer: pointerOf(error), message: messageOf(error) }))
}

function pointerOf({ instancePath, keyword, params }: ErrorObject): string {
  if (keyword === 'additionalProperties') return `${instancePath}/${shorten(String(params.additionalProperty))}`
  if (keyword === 'required') return `${instancePath}/${params.missingProperty}`
  if (keyword === 'discriminator') return `${instancePath}/${params.tag}`
  return instancePath
}

function messageOf({ keyword, params, data, parentSchema, message }: ErrorObject): string {
  switch (keyword) {
    case 'additionalProperties':
      return 'is not a known field'
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
