import { TaskNotFound } from '../../domain/errors.ts'
import { isUuid, type TaskId } from '../../domain/ids.ts'
import type { Task } from '../../domain/task.ts'
import type { Viewer } from '../../domain/viewer.ts'
import type { TaskStore } from '../ports.ts'

/** @throws TaskNotFound for unknown, expired, malformed and other projects' ids alike */
export function getTask({ tasks }: { readonly tasks: TaskStore }) {
  return async (viewer: Viewer, id: TaskId): Promise<Task> => {
    const task = isUuid(id) ? await tasks.get(viewer, id) : undefined
    if (!task) throw new TaskNotFound(id)
    return task
  }
}
