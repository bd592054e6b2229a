import type { TaskId } from '../domain/ids.ts'
import type { Task } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { PreflightReport } from '../export/preflight-export.ts'
import type { ExportBody } from '../export/resolve-request.ts'
import type { TaskQuery } from '../export/task-query.ts'

/** What the routes of tasks need. Every expected failure is an ExportError, which `errors.ts` turns into an answer. */
export interface TaskUses {
  createExport(viewer: Viewer, requestId: string, body: ExportBody): Promise<Task>
  /** Stores nothing. */
  preflightExport(viewer: Viewer, body: ExportBody): Promise<PreflightReport>
  /** Throws TaskNotFound. */
  getTask(viewer: Viewer, id: TaskId): Promise<Task>
  /** Throws MarkerNotFound. */
  listTasks(viewer: Viewer, query: TaskQuery): Promise<readonly Task[]>
}

/** Whether this process can serve; `reasons` say what is missing, without secrets. */
export interface Health {
  ready(): Promise<{ readonly ok: boolean; readonly reasons: readonly string[] }>
}
