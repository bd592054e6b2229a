import { type Static, Type } from 'typebox'
import { VERIFY_LEVELS } from '../../domain/export-options.ts'
import { TASK_STATUSES } from '../../domain/task.ts'
import { Nullable, OneOf, Time, Uuid } from './common.ts'
import { exportOptions } from './export-options.ts'

export const GLANCE_STATUSES = ['pending', 'processing', 'success', 'failure'] as const
const TaskType = Type.Literal('export')

/** A task in a list: as Glance, without `input`, `result` and `message`. */
const listed = {
  id: Uuid('Id of the task'),
  type: TaskType,
  status: OneOf(GLANCE_STATUSES, "The status in Glance's words"),
  owner: Type.String({ description: 'The project the task belongs to' }),
  created_at: Time('When the task was created'),
  updated_at: Time('When the task changed last'),
  expires_at: Type.Optional(Time('From then on the task is gone; set when it has ended')),
  self: Type.String({ examples: ['/v2/tasks/43215678-4321-4321-4321-432156789abc'] }),
  schema: Type.String({ examples: ['/v2/schemas/task'] }),
  task_type: TaskType,
  task_status: OneOf(TASK_STATUSES, "The status in the specification's words"),
  image_uuid: Uuid('The image that is exported')
}

const formatOptions = Type.Object({}, { description: 'As they were asked for' })

/** The options that were given; the others have their defaults. */
const { dry_run: _dryRun, manifest: _manifest, ...asked } = exportOptions

const input = Type.Object(
  {
    image_uuid: Type.String(),
    export_to: Type.String(),
    export_format: Type.String(),
    format_options: Type.Optional(formatOptions),
    ...asked
  },
  { description: 'What was asked for, without the credentials' }
)

const result = Type.Object({
  export_location: Type.Optional(
    Type.String({ description: 'URL of the written object; absent once a temporary URL was revoked' })
  ),
  bytes: Type.Integer({ description: 'Size of the written object' }),
  virtual_size: Type.Integer({ description: 'Size in bytes of the disk in it' }),
  checksums: Type.Object({
    sha256: Type.Optional(Type.String({ description: 'Of the written bytes, lower-case hex' })),
    sha512: Type.Optional(Type.String()),
    md5: Type.Optional(Type.String())
  }),
  composite_checksum: Type.Optional(
    Type.Object(
      { sha256: Type.String(), part_bytes: Type.Integer() },
      {
        description:
          'Where the head of a compressed file was sent last: SHA-256 of the SHA-256 digests of every part_bytes of the object, joined'
      }
    )
  ),
  content_hash: Type.Optional(
    Type.Object(
      { algo: Type.String(), value: Type.String() },
      { description: "Of the disk's content: the same in every format" }
    )
  ),
  etag: Type.Optional(Type.String({ description: 'As the destination gave it' })),
  verify: Type.Optional(
    Type.Object(
      {
        level: OneOf(VERIFY_LEVELS, 'What was read back'),
        ok: Type.Boolean({ description: 'False where the destination did not let us look; see warnings' }),
        ranges_read: Type.Integer()
      },
      { description: 'The look at the object after it was written' }
    )
  ),
  reused: Type.Optional(Type.Boolean({ description: 'True when the same bytes were there already: nothing was sent' })),
  sha256_location: Type.Optional(Type.String({ description: 'URL of the sidecar' })),
  manifest_location: Type.Optional(Type.String({ description: 'URL of the sidecar' })),
  parts: Type.Integer({ description: 'In how many parts it was sent' }),
  duration_seconds: Type.Number()
})

const progress = Type.Object({
  bytes_total: Nullable(
    Type.Integer({ description: 'Exact size of the object; null while it is compressed on the way' })
  ),
  bytes_sent: Type.Integer(),
  percent: Type.Number({ minimum: 0, maximum: 100 })
})

const failure = Type.Object({
  code: Type.String({ description: 'Stable, for programs', examples: ['DEST_FORBIDDEN'] }),
  actor: OneOf(['user', 'destination', 'operator'], 'Who has to act'),
  retriable: Type.Boolean({ description: 'Whether the same request may succeed later' }),
  phase: Type.String(),
  attempts: Type.Integer()
})

const warning = Type.Object({ code: Type.String(), message: Type.String() })

const cleanup = Type.Object(
  {
    state: OneOf(['done', 'partial'], 'Partial: something could not be removed'),
    removed: Type.Array(Type.String()),
    left: Type.Array(Type.Object({ what: Type.String(), why: Type.String() }))
  },
  { description: 'What became of partial data at the destination' }
)

const credentials = Type.Object({
  kind: Type.String(),
  fingerprint: Nullable(
    Type.String({
      description:
        'Tells which credentials they are: the ends of an access key id, otherwise a keyed hash that is the same for the same login'
    })
  ),
  state: OneOf(['sealed', 'purged'], 'Sealed until the task ends, then wiped')
})

/** One task, readable by clients of the specification (flat fields) and of Glance alike, with our additions. */
export const TaskAnswer = Type.Object(
  {
    ...listed,
    input,
    result: Nullable(result),
    message: Type.String({ description: 'Empty until there is something to say; why it failed, after a failure' }),
    image_id: Uuid('The same as image_uuid'),
    request_id: Type.Optional(Type.String({ description: 'Of the request that created the task' })),
    user_id: Type.Optional(Type.String({ description: 'Who created the task' })),
    export_to: Type.String(),
    export_format: Type.String(),
    export_location: Type.Optional(
      Type.String({ description: 'Where the image is, after a success; absent once a temporary URL was revoked' })
    ),
    phase: Nullable(
      Type.String({ description: 'What goes on, finer than the status; of a failure, where it happened' })
    ),
    progress: Nullable(progress),
    failure: Nullable(failure),
    warnings: Type.Array(warning, { description: 'What the user should know all the same' }),
    cleanup: Nullable(cleanup),
    ...asked,
    attempt: Type.Integer({ description: 'How many attempts have begun, those given back not counted' }),
    credentials: Nullable(credentials)
  },
  { title: 'Task', description: 'A task in the words of the specification and of Glance' }
)
export type TaskAnswer = Static<typeof TaskAnswer>

export const ListedTask = Type.Object(listed, { title: 'ListedTask' })
export type ListedTask = Static<typeof ListedTask>
