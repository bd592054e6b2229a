import { type Static, Type } from 'typebox'
import { TASK_STATUSES } from '../../domain/task.ts'
import { TASK_SORT_KEYS } from '../../export/task-query.ts'
import { OneOf, PageQuery, Uuid } from './common.ts'
import { GLANCE_STATUSES, ListedTask, TaskAnswer } from './task.ts'

/** Both vocabularies of statuses, and the specification's `waiting`. */
const STATUSES = [...new Set([...GLANCE_STATUSES, ...TASK_STATUSES, 'waiting'])]
const STATUS = `(?:${STATUSES.join('|')})`
const SORT = `(?:${TASK_SORT_KEYS.join('|')})(?::(?:asc|desc))?`
const WORD = '[A-Za-z0-9._-]{1,64}'
/** RFC 3986 host with or without a port; an IPv6 address has its brackets. */
const HOST = '[A-Za-z0-9.:_\\[\\]-]{1,255}'
const TIME = '\\d{4}-\\d{2}-\\d{2}(?:T\\d{2}:\\d{2}(?::\\d{2}(?:\\.\\d{1,9})?)?(?:Z|[+-]\\d{2}:?\\d{2})?)?'

/** One value, or `in:` with a comma list, as Glance filters images. */
const oneOrMore = (value: string, description: string) =>
  Type.String({
    pattern: `^(?:${value}|in:${value}(?:,${value})*)$`,
    maxLength: 1024,
    description: `${description}; several as in:one,two`
  })
const time = (description: string) =>
  Type.String({
    pattern: `^(?:(?:eq|neq|gt|gte|lt|lte):)?${TIME}$`,
    maxLength: 64,
    description: `a time (ISO 8601, UTC if it names no zone), after eq:, neq:, gt:, gte:, lt: or lte: if not exact: ${description}`
  })

export const TaskListQuery = Type.Object({
  ...PageQuery,
  sort_key: Type.Optional(OneOf(TASK_SORT_KEYS, 'What to order by; created_at if left out')),
  sort: Type.Optional(
    Type.String({
      pattern: `^${SORT}(?:,${SORT}){0,3}$`,
      description: `up to four keys with their directions instead of sort_key and sort_dir, such as status:asc,created_at:desc; the keys are ${TASK_SORT_KEYS.join(', ')}`
    })
  ),
  status: Type.Optional(oneOrMore(STATUS, `one of ${STATUSES.join(', ')}, in Glance's or the specification's words`)),
  task_status: Type.Optional(oneOrMore(STATUS, `one of ${STATUSES.join(', ')}, in the specification's words`)),
  type: Type.Optional(OneOf(['export'], 'Kind of task')),
  task_type: Type.Optional(OneOf(['export'], 'Kind of task')),
  image_id: Type.Optional(Uuid('Tasks of this image')),
  image_uuid: Type.Optional(Uuid('Tasks of this image')),
  export_format: Type.Optional(oneOrMore(WORD, 'a disk format')),
  destination_host: Type.Optional(oneOrMore(HOST, 'a host of export_to, with its port if it has one')),
  tag: Type.Optional(
    Type.String({
      pattern: '^[^,]{1,64}(?:,[^,]{1,64}){0,9}$',
      description: 'a tag; several, all of them, with commas'
    })
  ),
  created_at: Type.Optional(time('when the task was created')),
  updated_at: Type.Optional(time('when it changed last')),
  owner: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description: 'Project, for an admin; of others it shows only their own'
    })
  )
})
export type TaskListQuery = Static<typeof TaskListQuery>

export const TaskList = Type.Object(
  {
    tasks: Type.Array(ListedTask),
    first: Type.String({ description: 'Path of the first page' }),
    next: Type.Optional(Type.String({ description: 'Path of the next page; absent on the last' })),
    schema: Type.String()
  },
  { title: 'TaskList', description: 'One page of tasks' }
)

export const ImageTasks = Type.Object(
  { tasks: Type.Array(TaskAnswer) },
  { title: 'ImageTasks', description: "An image's tasks, whole" }
)
