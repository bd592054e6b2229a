import { type TSchema, Type } from 'typebox'

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

export const ErrorAnswer = Type.Object(
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

/** The answers that any route with a token may give, for its `response`. */
export const errorAnswers = (...statuses: readonly number[]): Record<number, typeof ErrorAnswer> =>
  Object.fromEntries([...new Set([401, 403, 429, ...statuses])].map((status) => [status, ErrorAnswer]))
