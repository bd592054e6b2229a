import { type TSchema, Type } from 'typebox'
import { headersOf } from './answer-headers.ts'

/** For a message: "must be a UUID ...". */
export const Uuid = (description: string) =>
  Type.String({
    pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
    maxLength: 36,
    description: 'a UUID in lower case, with hyphens',
    title: description
  })

/** One of names that are known only when the service is put together. */
export const OneOf = <const T extends string>(names: readonly T[], description: string) =>
  Type.Unsafe<T>({ type: 'string', enum: [...names], description })

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const Time = (description: string) =>
  Type.String({ format: 'date-time', description, examples: ['2026-11-22T06:50:39Z'] })

/** Of a list. Text, because a query has nothing else and nothing here is coerced. */
export const PageQuery = {
  limit: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,9}$',
      description: 'a whole number: entries a page, 25 if left out, at most 1000'
    })
  ),
  marker: Type.Optional(Uuid('The id of the last entry of the page before')),
  sort_dir: Type.Optional(OneOf(['asc', 'desc'], 'Direction of the order; desc if left out'))
}

const ErrorAnswer = Type.Object(
  {
    error: Type.Object({
      code: Type.Integer({ description: 'The HTTP status', examples: [404] }),
      title: Type.String({ examples: ['Not Found'] }),
      message: Type.String({ description: 'What was wrong and who has to act' }),
      failure_code: Type.Optional(Type.String({ description: 'Stable, for programs', examples: ['IMAGE_NOT_FOUND'] })),
      violations: Type.Optional(
        Type.Array(
          Type.Object({
            pointer: Type.String({ description: 'JSON Pointer (RFC 6901) into the body, or the query parameter' }),
            message: Type.String()
          })
        )
      ),
      tasks: Type.Optional(Type.Array(Type.String(), { description: 'Tasks that hold the image lock' }))
    })
  },
  { title: 'Error', description: 'Every error has this form' }
)

const REFUSALS: Readonly<Record<number, string>> = {
  400: 'The request is wrong: `violations` say what, field by field',
  401: 'There is no valid token',
  403: 'The token may not do this, or nobody may',
  404: 'It is not there, or another project has it',
  409: 'It is not in a state for this',
  412: 'It has changed since the ETag was given out',
  413: 'The body is too large, or a quota is used up',
  415: 'The Content-Type is another one',
  416: 'The range begins behind the end',
  422: 'The Idempotency-Key was used with another body',
  429: 'Too many requests within a minute',
  503: 'It cannot be done just now'
}

const errorAnswer = (status: number) => ({
  description: REFUSALS[status] ?? 'Refused',
  ...(status === 401 && headersOf('www-authenticate')),
  ...((status === 429 || status === 503) && headersOf('retry-after')),
  content: { 'application/json': { schema: ErrorAnswer } }
})

/** Refusals of a route, for its `response`. */
export const refusals = (...statuses: readonly number[]): Record<number, ReturnType<typeof errorAnswer>> =>
  Object.fromEntries(statuses.map((status) => [status, errorAnswer(status)]))

/** Those that any route with a token may give, and further ones. */
export const errorAnswers = (...statuses: readonly number[]) => refusals(401, 403, 429, 503, ...statuses)

/** The same for a route that takes JSON. */
export const errorAnswersToJson = (...statuses: readonly number[]) => errorAnswers(400, 413, ...statuses)

export const Bytes = (description: string) => Type.Unsafe({ type: 'string', format: 'binary', description })
export const Empty = (description: string) => Type.Null({ description })

export const RangeHeader = Type.Optional(Type.String({ description: 'One range of bytes', examples: ['bytes=0-1023'] }))
