import { Type } from 'typebox'
import { KiB, TiB } from '../../domain/bytes.ts'
import { CHECKSUMS, IF_EXISTS, type ObjectOptions, SIDECARS, VERIFY_LEVELS } from '../../domain/export-options.ts'
import { PRIORITIES } from '../../domain/task.ts'
import { OneOf } from './common.ts'
import { scrubOptions } from './scrub.ts'

const closed = { additionalProperties: false }
const DAY_SECONDS = 86_400

/** Name -> value, for headers and query parameters of stores: S3 takes ten tags, and 2 KB of metadata. */
const Names = (most: number, name: string, value: string, description: string) =>
  Type.Unsafe<Readonly<Record<string, string>>>({
    type: 'object',
    maxProperties: most,
    propertyNames: { pattern: name, description: 'a name that stores take' },
    additionalProperties: { type: 'string', pattern: value, description: 'printable text of at most 256 characters' },
    description
  })

const object = Type.Unsafe<ObjectOptions>(
  Type.Object(
    {
      key_template: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 512,
          description:
            'Name of the object below export_to, which may have slashes and the placeholders {export_id}, {task_id}, {image_id}, {image_name}, {format}, {ext}, {date}, {timestamp}; {export_id} when left out',
          examples: ['{date}/{image_name}-{task_id}.{ext}']
        })
      ),
      if_exists: Type.Optional(
        OneOf(
          IF_EXISTS,
          'When the place holds an object of that name: fail (when left out); replace it; write <name>-1, -2 and so on; or reuse it, if it has the same bytes, and send nothing'
        )
      ),
      delete_after_seconds: Type.Optional(
        Type.Integer({
          minimum: 60,
          maximum: 3650 * DAY_SECONDS,
          description: 'The destination removes the object so long after it was written'
        })
      ),
      storage_class: Type.Optional(
        Type.String({
          pattern: '^[A-Za-z0-9_-]{1,64}$',
          description: 'a storage class of the destination',
          examples: ['STANDARD_IA']
        })
      ),
      tags: Type.Optional(
        Names(10, '^[\\p{L}\\p{N} +=._:/@-]{1,128}$', '^[\\p{L}\\p{N} +=._:/@-]{0,256}$', 'Tags of the object')
      ),
      metadata: Type.Optional(
        Names(
          16,
          // Names with our own prefix are how the service finds its objects again.
          '^(?!glance-export)[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$',
          '^(?:[\\x21-\\x7e](?:[\\x20-\\x7e]{0,254}[\\x21-\\x7e])?)?$',
          'Kept with the object'
        )
      )
    },
    { ...closed, description: 'What the object is to be like; what a destination cannot do is refused' }
  )
)

const listOf = <const T extends string>(names: readonly T[], description: string) =>
  Type.Array(OneOf(names, description), { uniqueItems: true, maxItems: names.length, description })

/** Fields of a request that say how the export is to be done, beyond the specification. */
export const exportOptions = {
  object: Type.Optional(object),
  checksums: Type.Optional(
    listOf(
      [...CHECKSUMS, 'content'],
      'Digests of the written bytes, besides SHA-256 which is always made; content: one of the disk, the same in every format'
    )
  ),
  sidecars: Type.Optional(
    listOf(SIDECARS, 'Small objects written beside the image: <name>.sha256 for sha256sum, <name>.manifest.json')
  ),
  manifest: Type.Optional(Type.Boolean({ description: 'The same as the sidecar manifest' })),
  verify: Type.Optional(
    OneOf(
      VERIFY_LEVELS,
      'What is looked at after the upload. none: nothing. etag (when left out): that the object is there, its length and its metadata of this export, each where the destination tells it; no ETag is compared. ranges: that and a sample of its bytes, read back. full: that and all of them'
    )
  ),
  limits: Type.Optional(
    Type.Object(
      {
        bandwidth_bps: Type.Optional(
          Type.Integer({ minimum: 64 * KiB, maximum: TiB, description: 'Bytes per second at most' })
        ),
        deadline: Type.Optional(
          Type.String({
            maxLength: 40,
            pattern:
              '^\\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\\d|3[01])T(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:0\\d|1[0-4]):[0-5]\\d)$',
            description: 'a time with its zone (RFC 3339), such as 2026-12-01T00:00:00Z',
            title: 'The export fails if it has not ended by then; the operator sets how far ahead it may be'
          })
        ),
        max_attempts: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 100,
            description: 'How often it is tried at most; the operator may allow less'
          })
        )
      },
      closed
    )
  ),
  scrub: Type.Optional(scrubOptions),
  temp_url: Type.Optional(
    Type.Object(
      {
        ttl_seconds: Type.Optional(
          Type.Integer({
            minimum: 60,
            maximum: 30 * DAY_SECONDS,
            description: 'How long the URL is good, from success'
          })
        ),
        ip_range: Type.Optional(
          Type.String({
            maxLength: 43,
            pattern: '^[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?$',
            description: 'an address, or a network such as 203.0.113.0/24',
            title: 'Who may use the URL'
          })
        )
      },
      { ...closed, description: 'With export_to tempurl:' }
    )
  ),
  dry_run: Type.Optional(
    Type.Boolean({ description: 'Only tell whether it would work: nothing is stored and nothing is locked' })
  )
}

const YEAR_SECONDS = 365 * DAY_SECONDS

/** What a client writes on its task for itself, and how it wants it handled. */
export const taskLabels = {
  description: Type.Optional(Type.String({ maxLength: 1024, description: 'For people' })),
  tags: Type.Optional(
    Type.Array(
      Type.String({
        pattern: '^[^,\\p{Cc}]{1,64}$',
        description: 'text of 1 to 64 characters without commas and control characters'
      }),
      { uniqueItems: true, maxItems: 50, description: 'Words to find the task by' }
    )
  ),
  metadata: Type.Optional(
    Type.Unsafe<Readonly<Record<string, string>>>({
      type: 'object',
      maxProperties: 50,
      propertyNames: {
        pattern: '^[\\p{L}\\p{N}._:/-]{1,64}$',
        description: 'a name of 1 to 64 letters, digits and ._:/-'
      },
      additionalProperties: { type: 'string', maxLength: 256 },
      description: 'For programs: kept with the task, and not with the object'
    })
  ),
  priority: Type.Optional(
    OneOf(PRIORITIES, 'Against other tasks that wait; normal when left out, high for administrators only')
  ),
  expires_after_seconds: Type.Optional(
    Type.Integer({
      minimum: 60,
      maximum: 10 * YEAR_SECONDS,
      description: 'How long the task can be read after its end; the operator may allow less'
    })
  )
}

/** What makes a request that is sent twice one task. */
export const clientToken = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 255,
    pattern: '^[\\x21-\\x7e]{1,255}$',
    description: 'of 1 to 255 printable ASCII characters without spaces',
    title: 'The same as the header Idempotency-Key'
  })
)
