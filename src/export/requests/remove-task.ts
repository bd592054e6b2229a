import { TaskNotFound } from '../../domain/errors.ts'
import type { TaskId } from '../../domain/ids.ts'
import { TaskNotFinished } from '../../domain/task-errors.ts'
import type { Viewer } from '../../domain/viewer.ts'
import type { TaskStore } from '../ports.ts'

/**
 * Forgets a task that has ended, with its temporary URL; an object that was written elsewhere stays.
 * @throws TaskNotFound, TaskNotFinished
 */
export function removeTask({ tasks }: { readonly tasks: TaskStore }) {
  return async (viewer: Viewer, id: TaskId): Promise<void> => {
    const outcome = await tasks.remove(viewer, id)
    if (outcome === 'not_found') throw new TaskNotFound(id)
    if (outcome === 'under_way') throw new TaskNotFinished('cancel it first')
  }
}
