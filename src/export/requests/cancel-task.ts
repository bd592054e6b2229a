import { TaskNotFound } from '../../domain/errors.ts'
import type { TaskId } from '../../domain/ids.ts'
import type { Task } from '../../domain/task.ts'
import { AlreadyCommitted, TaskFinished } from '../../domain/task-errors.ts'
import type { Viewer } from '../../domain/viewer.ts'
import type { ExportQueue, TaskStore } from '../ports.ts'

/**
 * Ends a task that waits at once; a running one stops within about a second, removes what it has sent, and ends then. Once this
 * has returned the task does not succeed any more. Repeating it changes nothing.
 * @throws TaskNotFound, TaskFinished, AlreadyCommitted
 */
export function cancelTask({ tasks, queue }: { readonly tasks: TaskStore; readonly queue: ExportQueue }) {
  return async (viewer: Viewer, id: TaskId, reason: string | null): Promise<Task> => {
    const outcome = await tasks.cancel(viewer, id, reason)
    switch (outcome.status) {
      case 'not_found':
        throw new TaskNotFound(id)
      case 'finished':
        throw new TaskFinished('it cannot be canceled')
      case 'committed':
        throw new AlreadyCommitted()
      case 'accepted':
        if (outcome.bell) await queue.ring(outcome.bell)
        return outcome.task
    }
  }
}
