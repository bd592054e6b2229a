import { afterAll } from 'vitest'
import type { TaskId } from '../../../src/domain/ids.ts'
import { isTerminal, type Task } from '../../../src/domain/task.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import { canceledEnding } from '../../../src/export/attempt/canceled.ts'
import type { TaskStore } from '../../../src/export/ports.ts'
import { cancelTask } from '../../../src/export/requests/cancel-task.ts'
import { changeTask } from '../../../src/export/requests/change-task.ts'
import { removeTask } from '../../../src/export/requests/remove-task.ts'
import { retryExport } from '../../../src/export/requests/retry-export.ts'
import { TaskWatch } from '../../../src/export/requests/task-watch.ts'
import type { TaskUses } from '../../../src/http/uses.ts'

type Rows = {
  readonly tasks: Map<string, Task>
  now(): Date
  changeTask(id: string, change: Partial<Task>): void
}
type Life = Pick<TaskUses, 'cancelTask' | 'retryExport' | 'changeTask' | 'removeTask' | 'watch'>

export const MAX_KEEP_SECONDS = 1_000_000

/** The use cases around a task's life, on rows in a map. */
export function memoryLife(rows: Rows, uses: Pick<TaskUses, 'getTask' | 'createExport'>, maxWaiters = 100): Life {
  const tasks = memoryStore(rows) as TaskStore
  const watch = new TaskWatch({ tasks, log: { info() {}, warn() {}, error() {} } }, { maxWaiters, lookMs: 5 })
  afterAll(() => watch.close())
  return {
    cancelTask: cancelTask({ tasks, queue: { ring: async () => {} } }),
    retryExport: retryExport({ ...uses, createdBefore: async () => undefined }),
    changeTask: changeTask({ tasks, maxKeepSeconds: MAX_KEEP_SECONDS, maxTempUrlSeconds: 1000 }),
    removeTask: removeTask({ tasks }),
    watch
  }
}

/** A task is taken to be committing when its progress says so. */
function memoryStore(rows: Rows): Pick<TaskStore, 'cancel' | 'change' | 'remove' | 'versions'> {
  const visible = (viewer: Viewer, id: TaskId): Task | undefined => {
    const task = rows.tasks.get(id)
    return task && (viewer.admin || viewer.owner === task.owner) ? task : undefined
  }
  const write = (id: TaskId, change: Partial<Task>): Task => {
    rows.changeTask(id, change)
    return rows.tasks.get(id) as Task
  }
  return {
    versions: async (ids) =>
      new Map([...rows.tasks.values()].filter(({ id }) => ids.includes(id)).map((task) => [task.id, task.version])),
    async cancel(viewer, id, reason) {
      const task = visible(viewer, id)
      if (!task) return { status: 'not_found' }
      if (task.cancel) return { status: 'accepted', task }
      if (isTerminal(task.status)) return { status: 'finished' }
      if (task.progress?.phase === 'committing') return { status: 'committed' }
      const cancel = { by: task.owner === viewer.owner ? 'user' : 'operator', reason, at: rows.now() } as const
      if (task.status !== 'queued') return { status: 'accepted', task: write(id, { cancel }) }
      const { attempts } = task
      const ending = canceledEnding(cancel, { phase: 'queued', attempts }, null)
      return { status: 'accepted', task: write(id, { cancel, status: 'failure', expiresAt: rows.now(), ...ending }) }
    },
    async change(viewer, id, decide) {
      const task = visible(viewer, id)
      if (!task) return undefined
      const { expiresAt, bandwidthBps, ...labels } = decide(task)
      const { options } = task.request
      const limits = bandwidthBps ? { bandwidth_bps: bandwidthBps } : {}
      return write(id, {
        labels: { ...task.labels, ...labels },
        ...(expiresAt && { expiresAt }),
        ...(bandwidthBps !== undefined && { request: { ...task.request, options: { ...options, limits } } })
      })
    },
    async remove(viewer, id) {
      const task = visible(viewer, id)
      if (!task) return 'not_found'
      if (!isTerminal(task.status)) return 'under_way'
      rows.tasks.delete(id)
      return 'removed'
    }
  }
}
