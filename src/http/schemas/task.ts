import { type Static, Type } from 'typebox'
import { VERIFY_LEVELS } from '../../domain/export-options.ts'
import { PRIORITIES, TASK_STATUSES } from '../../domain/task.ts'
import { Nullable, OneOf, Time, Uuid } from './common.ts'
import { exportOptions, taskLabels } from './export-options.ts'
import { scrubAsked, scrubProgress, scrubReport } from './scrub.ts'

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
const { dry_run: _dryRun, manifest: _manifest, scrub: _withKey, ...others } = exportOptions
const asked = { ...others, scrub: Type.Optional(scrubAsked) }

const input = Type.Object(
  {
    image_uuid: Type.String(),
    export_to: Type.String(),
    export_format: Type.String(),
    format_options: Type.Optional(formatOptions),
    ...asked,
    ...taskLabels
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
        level: OneOf(VERIFY_LEVELS, 'What was looked at, in the words of the request'),
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

const bytes = (description: string) => Type.Integer({ minimum: 0, description })

const progress = Type.Object(
  {
    bytes_total: Nullable(bytes('Exact size of the object; null while it is compressed on the way')),
    bytes_read: bytes('Of the disk, data and zeros, that has been gone through'),
    bytes_data: bytes('Of the disk, that was read'),
    bytes_zero: bytes('Of the disk, that is zeros and needs no reading'),
    bytes_sent: bytes('Of the object, that was handed to the destination'),
    bytes_acked: bytes('Of the object, that the destination has confirmed: whole parts'),
    bytes_resent: bytes('That were sent more than once, over all attempts'),
    rate_bps: Nullable(bytes('Sent per second, smoothed; null while nothing is sent')),
    eta_seconds: Nullable(Type.Integer({ minimum: 0, description: 'Until all is sent; null while nobody can know' })),
    eta: Nullable(Time('The same as a time')),
    percent: Type.Number({
      minimum: 0,
      maximum: 100,
      description: 'Of the work. It never goes back, not in another attempt either, and is 100 only at success'
    }),
    stalled: Type.Boolean({ description: 'The destination has taken nothing for a minute' }),
    throttled: Type.Boolean({
      description: 'It could go faster: limits.bandwidth_bps, or the destination asks for less'
    }),
    scrub: Nullable(scrubProgress),
    updated_at: Time('When all this was so')
  },
  { description: 'How far the attempt is; of a task that waits to be tried again, how far it has come' }
)

const queue = Type.Object(
  {
    position: Type.Integer({ description: 'From 1 on; what is behind 1000 others is 1001' }),
    ahead: Type.Integer({
      description:
        'Tasks of all projects that will be started before it, if those that wait are as large as this one; limits of hosts and projects are left out'
    })
  },
  { description: 'Of a task that waits, when it is shown; null otherwise, in lists, and when it was just created' }
)

const failure = Type.Object({
  code: Type.String({ description: 'Stable, for programs', examples: ['DEST_FORBIDDEN'] }),
  phase: Type.String({ description: 'What went on' }),
  actor: OneOf(['user', 'destination', 'operator'], 'Who has to act'),
  retriable: Type.Boolean({ description: 'Whether the same request may succeed later' }),
  hint: Nullable(Type.String({ description: 'What to do' })),
  upstream: Nullable(
    Type.Object(
      {
        status: Nullable(Type.Integer({ description: 'HTTP status, where there was an answer' })),
        host: Type.String()
      },
      { description: 'Who failed, where it was a destination' }
    )
  ),
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

const labels = {
  description: Type.String(),
  tags: Type.Array(Type.String()),
  metadata: Type.Unsafe<Readonly<Record<string, string>>>({
    type: 'object',
    additionalProperties: { type: 'string' }
  }),
  priority: OneOf(PRIORITIES, 'Against other tasks that wait')
}

/** One task, readable by clients of the specification (flat fields) and of Glance alike, with our additions. */
export const TaskAnswer = Type.Object(
  {
    ...listed,
    input,
    result: Nullable(result),
    message: Type.String({
      description:
        'Empty until there is something to say: what a scrub is at, why it waits; why it failed, after a failure'
    }),
    image_id: Uuid('The same as image_uuid'),
    request_id: Type.Optional(Type.String({ description: 'Of the request that created the task' })),
    user_id: Type.Optional(Type.String({ description: 'Who created the task' })),
    export_to: Type.String(),
    export_format: Type.String(),
    format_options: Type.Optional(formatOptions),
    export_location: Type.Optional(
      Type.String({ description: 'Where the image is, after a success; absent once a temporary URL was revoked' })
    ),
    phase: Nullable(
      Type.String({
        description:
          'What goes on, finer than the status: accepted, waiting_slot (for a worker), waiting_retry, preflight, inspecting, scrubbing, measuring (the length of a compressed file), transferring, committing, verifying, canceling; of a failure, where it happened',
        examples: ['transferring']
      })
    ),
    progress: Nullable(progress),
    queue: Nullable(queue),
    scrub_report: Nullable(scrubReport),
    failure: Nullable(failure),
    warnings: Type.Array(warning, { description: 'What the user should know all the same' }),
    cleanup: Nullable(cleanup),
    ...asked,
    ...labels,
    attempt: Type.Integer({ description: 'How many attempts have begun, those given back not counted' }),
    retry_of: Type.Optional(Uuid('The failed task that this one repeats')),
    credentials: Nullable(credentials)
  },
  { title: 'Task', description: 'A task in the words of the specification and of Glance' }
)
export type TaskAnswer = Static<typeof TaskAnswer>

export const ListedTask = Type.Object(listed, { title: 'ListedTask' })
export type ListedTask = Static<typeof ListedTask>
