import { type Static, type TSchema, Type } from 'typebox'
import type { Credentials } from '../../destinations/destination.ts'
import { KiB, TiB } from '../../domain/bytes.ts'
import { Nullable } from './common.ts'
import { taskLabels } from './export-options.ts'
import { scrubAgain } from './scrub.ts'

const closed = { additionalProperties: false }
const { description, tags, metadata, priority } = taskLabels

export const CancelRequest = Type.Object(
  {
    reason: Type.Optional(
      Type.String({
        pattern: '^[^\\p{Cc}]{1,255}$',
        description: 'text of 1 to 255 characters without control characters',
        title: 'Becomes part of the message of the task'
      })
    )
  },
  {
    ...closed,
    title: 'CancelRequest',
    description: 'Why; may be left out',
    examples: [{ reason: 'the wrong image' }],
    'x-optional': true
  }
)
export type CancelRequest = Static<typeof CancelRequest> | undefined

/** @param credentials schema of `export_to_credentials` */
export const retryRequest = (credentials: TSchema) =>
  Type.Unsafe<RetryRequest>(
    Type.Object(
      { export_to_credentials: Type.Optional(credentials), scrub: Type.Optional(scrubAgain) },
      {
        ...closed,
        title: 'RetryRequest',
        description: 'Credentials and a disk key, if the failed task had any: those were wiped',
        examples: [{ export_to_credentials: { kind: 'basic', username: 'me', password: 'secret' } }],
        'x-optional': true
      }
    )
  )
export type RetryRequest =
  | { readonly export_to_credentials?: Credentials; readonly scrub?: Static<typeof scrubAgain> }
  | undefined

export const TaskPatch = Type.Object(
  {
    description: Type.Optional(Nullable(description)),
    tags: Type.Optional(Nullable(tags)),
    metadata: Type.Optional(
      Nullable(
        Type.Unsafe<Readonly<Record<string, string | null>>>({
          ...metadata,
          additionalProperties: { type: ['string', 'null'], maxLength: 256 },
          description: 'Names to be set; null takes one away, the others stay'
        })
      )
    ),
    priority: Type.Optional(priority),
    limits: Type.Optional(
      Type.Object(
        {
          bandwidth_bps: Type.Optional(
            Nullable(
              Type.Integer({
                minimum: 64 * KiB,
                maximum: TiB,
                description: 'Bytes per second at most, also of an attempt that is under way; null: no limit'
              })
            )
          )
        },
        closed
      )
    ),
    expires_at: Type.Optional(
      Type.String({
        pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(?:\\.\\d{1,9})?(?:Z|[+-]\\d{2}:?\\d{2})$',
        maxLength: 40,
        description: 'a time with its zone (ISO 8601), such as 2026-11-24T07:10:02Z',
        title: 'Puts off the end of a task that has ended, and of its temporary URL; never earlier'
      })
    )
  },
  {
    ...closed,
    title: 'TaskPatch',
    description: 'A merge patch (RFC 7396) of what can be changed of a task',
    examples: [{ tags: ['nightly'], priority: 'low' }]
  }
)
export type TaskPatch = Static<typeof TaskPatch>

export const IfMatchHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'ETag of the task as it was seen; 412 if it has changed since' })
  )
})

const wait = Type.Optional(
  Type.String({
    description: 'RFC 7240: wait=N lets the answer take N seconds; the service may allow less, see Preference-Applied',
    examples: ['wait=30']
  })
)
export const WaitHeaders = Type.Object({ prefer: wait })
export const ShowHeaders = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({ description: '304 if the task is still this one; with Prefer, the answer waits until it is not' })
  ),
  prefer: wait
})
