import type { TaskId } from '../../domain/ids.ts'
import { isTerminal, type Task } from '../../domain/task.ts'
import { CredentialsPurged, DiskKeyPurged, TaskFinished, TaskNotFinished } from '../../domain/task-errors.ts'
import type { Viewer } from '../../domain/viewer.ts'
import type { OnceAsked } from '../once.ts'
import type { TaskSecrets } from '../ports.ts'
import type { Created, createdBefore, createExport } from './create-export.ts'

type RetryUses = {
  /** Throws TaskNotFound. */
  readonly getTask: (viewer: Viewer, id: TaskId) => Promise<Task>
  readonly createExport: ReturnType<typeof createExport>
  readonly createdBefore: ReturnType<typeof createdBefore>
}

/**
 * Makes a new task of a failed one: the same request for the same project, a new object. Secrets are wiped when a task ends, so
 * new ones have to come if it had any.
 * @throws TaskNotFound, TaskNotFinished, TaskFinished for a success, CredentialsPurged, DiskKeyPurged, RetryUnderWay, and what
 *   creating throws
 */
export function retryExport({ getTask, createExport, createdBefore }: RetryUses) {
  return async (
    viewer: Viewer,
    requestId: string,
    id: TaskId,
    { credentials, diskKey }: TaskSecrets,
    asked?: OnceAsked
  ): Promise<Created> => {
    // The failed task may have expired since. Who retries one of another project finds it there.
    const earlier = await createdBefore(viewer.owner, asked)
    if (earlier) return earlier
    const task = await getTask(viewer, id)
    if (!isTerminal(task.status)) throw new TaskNotFinished('only a failed one can be tried again')
    if (task.status === 'success') throw new TaskFinished('it has succeeded, so there is nothing to try again')
    if (task.credentials && !credentials) throw new CredentialsPurged(task.credentials.kind)
    const { limits, ...options } = task.request.options
    if (options.scrub?.keyed && diskKey === undefined) throw new DiskKeyPurged()
    const { deadline: _passed, ...stillGood } = limits
    return createExport(
      { ...viewer, owner: task.owner },
      requestId,
      {
        ...task.request,
        options: { ...options, limits: stillGood },
        labels: {
          ...task.labels,
          priority: viewer.admin || task.labels.priority !== 'high' ? task.labels.priority : 'normal'
        },
        ...(credentials && { credentials }),
        ...(diskKey !== undefined && { diskKey }),
        retryOf: task.id
      },
      asked
    )
  }
}
