import type { ImageId, OwnerId, TaskId } from '../domain/ids.ts'
import type { TaskStatus } from '../domain/task.ts'

export const TASK_SORT_KEYS = ['created_at', 'updated_at', 'expires_at', 'status', 'type', 'id'] as const
export type TaskSortKey = (typeof TASK_SORT_KEYS)[number]
export type SortDirection = 'asc' | 'desc'

/** From `from` on, and before `to`. */
export type TimeSpan = { readonly from?: Date; readonly to?: Date }
/** Every span has to hold, and none of those in `outside`. */
export type TimeFilter = { readonly within: readonly TimeSpan[]; readonly outside: readonly TimeSpan[] }

/** A page of tasks. Filters that are absent let everything through; all of them have to hold. */
export type TaskQuery = {
  readonly limit: number
  readonly marker?: TaskId
  /** At least one. Ties are broken by age and id, in the direction of the last. */
  readonly order: readonly { readonly key: TaskSortKey; readonly direction: SortDirection }[]
  readonly statuses?: readonly TaskStatus[]
  readonly imageId?: ImageId
  readonly owner?: OwnerId
  readonly formats?: readonly string[]
  /** Host of `export_to`, in lower case; with its port, if one was given. */
  readonly destinationHosts?: readonly string[]
  /** The task has all of them. */
  readonly tags?: readonly string[]
  readonly created?: TimeFilter
  readonly updated?: TimeFilter
}
