import { type Static, Type } from 'typebox'
import { TASK_STATUSES } from '../../domain/task.ts'
import { Nullable, OneOf, PageQuery, Time, Uuid } from './common.ts'

export const GLANCE_STATUSES = ['pending', 'processing', 'success', 'failure'] as const
const SORT_KEYS = ['created_at', 'updated_at', 'expires_at', 'status', 'type', 'id'] as const
const TaskType = Type.Literal('export')

/** Both vocabularies of statuses, and the specification's `waiting`. */
const ANY_STATUS = [...new Set([...GLANCE_STATUSES, ...TASK_STATUSES, 'waiting'])]

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

const input = Type.Object(
  {
    image_uuid: Type.String(),
    export_to: Type.String(),
    export_format: Type.String(),
    format_options: Type.Optional(formatOptions)
  },
  { description: 'What was asked for, without the credentials' }
)

const result = Type.Object({
  export_location: Type.String({ description: 'URL of the written object' }),
  bytes: Type.Integer({ description: 'Size of the written object' }),
  virtual_size: Type.Integer({ description: 'Size in bytes of the disk in it' }),
  checksums: Type.Object({
    sha256: Type.Optional(Type.String({ description: 'Of the written bytes, lower-case hex' }))
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

const credentials = Type.Object({
  kind: Type.String(),
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
    export_location: Type.Optional(Type.String({ description: 'Where the image is, after a success' })),
    phase: Nullable(
      Type.String({ description: 'What goes on, finer than the status; of a failure, where it happened' })
    ),
    progress: Nullable(progress),
    failure: Nullable(failure),
    attempt: Type.Integer({ description: 'How many attempts have begun, those given back not counted' }),
    credentials: Nullable(credentials)
  },
  { title: 'Task', description: 'A task in the words of the specification and of Glance' }
)
export type TaskAnswer = Static<typeof TaskAnswer>

export const ListedTask = Type.Object(listed, { title: 'ListedTask' })
export type ListedTask = Static<typeof ListedTask>

export const TaskList = Type.Object(
  {
    tasks: Type.Array(ListedTask),
    first: Type.String({ description: 'Path of the first page' }),
    next: Type.Optional(Type.String({ description: 'Path of the next page; absent on the last' })),
    schema: Type.String()
  },
  { title: 'TaskList', description: 'One page of tasks' }
)

export const TaskListQuery = Type.Object({
  ...PageQuery,
  sort_key: Type.Optional(OneOf(SORT_KEYS, 'What to order by; created_at if left out')),
  status: Type.Optional(OneOf(ANY_STATUS, "A status in Glance's or the specification's words")),
  task_status: Type.Optional(OneOf(ANY_STATUS, "A status in the specification's words")),
  type: Type.Optional(OneOf(['export'], 'Kind of task')),
  task_type: Type.Optional(OneOf(['export'], 'Kind of task')),
  image_id: Type.Optional(Uuid('Tasks of this image')),
  image_uuid: Type.Optional(Uuid('Tasks of this image'))
})
export type TaskListQuery = Static<typeof TaskListQuery>
