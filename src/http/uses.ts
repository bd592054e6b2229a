import type { TaskId } from '../domain/ids.ts'
import type { Task, TaskSummary } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { OnceAsked } from '../export/once.ts'
import type { TaskSecrets } from '../export/ports.ts'
import type { TaskPatch } from '../export/requests/change-task.ts'
import type { Created } from '../export/requests/create-export.ts'
import type { PreflightReport } from '../export/requests/preflight-export.ts'
import type { ExportBody } from '../export/requests/resolve-request.ts'
import type { TaskWatch } from '../export/requests/task-watch.ts'
import type { TaskQuery } from '../export/task-query.ts'

/** What the routes of tasks need. Every expected failure is an ExportError, which `answers/errors.ts` turns into an answer. */
export interface TaskUses {
  createExport(viewer: Viewer, requestId: string, body: ExportBody, once?: OnceAsked): Promise<Created>
  /** Stores nothing. */
  preflightExport(viewer: Viewer, body: ExportBody): Promise<PreflightReport>
  /** Throws TaskNotFound. */
  getTask(viewer: Viewer, id: TaskId): Promise<Task>
  /** Throws MarkerNotFound. */
  listTasks(viewer: Viewer, query: TaskQuery): Promise<readonly TaskSummary[]>
  /** The same tasks with all there is to say of them. */
  wholeTasks(viewer: Viewer, query: TaskQuery): Promise<readonly Task[]>
  /** Throws TaskNotFound, TaskFinished, AlreadyCommitted. */
  cancelTask(viewer: Viewer, id: TaskId, reason: string | null): Promise<Task>
  retryExport(viewer: Viewer, requestId: string, id: TaskId, secrets: TaskSecrets, once?: OnceAsked): Promise<Created>
  /** Throws TaskChanged where the task is not this version any more. */
  changeTask(viewer: Viewer, id: TaskId, patch: TaskPatch, version: number | undefined): Promise<Task>
  /** Throws TaskNotFound, TaskNotFinished. */
  removeTask(viewer: Viewer, id: TaskId): Promise<void>
  /** For those who wait for news. */
  readonly watch: Pick<TaskWatch, 'changed' | 'hasRoom' | 'close'>
}

/** Whether this process can serve; `reasons` say what is missing, without secrets. */
export interface Health {
  ready(): Promise<{ readonly ok: boolean; readonly reasons: readonly string[] }>
}
