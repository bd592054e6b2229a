import { imageId, ownerId, taskId } from '../../domain/ids.ts'
import type { TaskStatus } from '../../domain/task.ts'
import { timeOf } from '../../domain/time.ts'
import type { SortDirection, TaskQuery, TaskSortKey, TimeFilter, TimeSpan } from '../../export/task-query.ts'
import { invalidRequest } from '../requests/request-refused.ts'
import type { TaskListQuery } from '../schemas/task-list.ts'
import { exactStatus, statusesOf } from './task.ts'

/**
 * What a list is asked for. The parameters have passed their schema.
 * @throws RequestRefused for parameters that contradict each other and for times that do not exist
 */
export function taskQueryOf(query: TaskListQuery): Omit<TaskQuery, 'limit'> {
  const statuses = wantedStatuses(query)
  const image = query.image_id ?? query.image_uuid
  return {
    order: orderOf(query),
    ...(query.marker !== undefined && { marker: taskId(query.marker) }),
    ...(statuses && { statuses }),
    ...(image !== undefined && { imageId: imageId(image) }),
    ...(query.owner !== undefined && { owner: ownerId(query.owner) }),
    ...(query.export_format !== undefined && { formats: listed(query.export_format) }),
    ...(query.destination_host !== undefined && { destinationHosts: listed(query.destination_host.toLowerCase()) }),
    ...(query.tag !== undefined && { tags: query.tag.split(',') }),
    ...(query.created_at !== undefined && { created: timeFilter('created_at', query.created_at) }),
    ...(query.updated_at !== undefined && { updated: timeFilter('updated_at', query.updated_at) })
  }
}

const listed = (text: string): string[] => (text.startsWith('in:') ? text.slice(3).split(',') : [text])

/** Both filters together mean both. */
function wantedStatuses({ status, task_status }: TaskListQuery): readonly TaskStatus[] | undefined {
  const glance = status === undefined ? undefined : listed(status).flatMap(statusesOf)
  const exact = task_status === undefined ? undefined : listed(task_status).flatMap(exactStatus)
  return glance && exact ? exact.filter((one) => glance.includes(one)) : (glance ?? exact)
}

function orderOf({ sort, sort_key, sort_dir }: TaskListQuery): TaskQuery['order'] {
  if (sort === undefined) return [{ key: sort_key ?? 'created_at', direction: sort_dir ?? 'desc' }]
  if (sort_key !== undefined || sort_dir !== undefined) {
    throw invalidRequest([
      { pointer: '/sort', message: 'takes the place of sort_key and sort_dir; send one or the other' }
    ])
  }
  return sort.split(',').map((one) => {
    const [key, direction = 'desc'] = one.split(':')
    return { key: key as TaskSortKey, direction: direction as SortDirection }
  })
}

const SECOND_MS = 1000

/** Answers show whole seconds, so a time means its whole second. */
function timeFilter(parameter: string, text: string): TimeFilter {
  const [, operator = 'eq', time = ''] = /^(?:(eq|neq|gt|gte|lt|lte):)?(.*)$/.exec(text) ?? []
  const zoned = time.includes('T') && !/(?:Z|[+-]\d{2}:?\d{2})$/.test(time) ? `${time}Z` : time
  const named = timeOf(zoned)
  if (!named) throw invalidRequest([{ pointer: `/${parameter}`, message: 'is not a time that exists' }])
  const begin = new Date(Math.floor(named.getTime() / SECOND_MS) * SECOND_MS)
  const end = new Date(begin.getTime() + SECOND_MS)
  const span = { from: begin, to: end }
  if (operator === 'neq') return { within: [], outside: [span] }
  const spans: Readonly<Record<string, TimeSpan>> = {
    eq: span,
    gt: { from: end },
    gte: { from: begin },
    lt: { to: begin },
    lte: { to: end }
  }
  return { within: [spans[operator] ?? span], outside: [] }
}
