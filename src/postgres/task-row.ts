import { imageId, ownerId, taskId } from '../domain/ids.ts'
import type { ExportResult, Failure, FormatOptions, Progress, Task, TaskStatus } from '../domain/task.ts'
import type { Sealed, SourceIdentity } from '../export/ports.ts'

/** A row of `tasks` as pg hands it out. */
export type TaskRow = {
  readonly id: string
  readonly owner: string
  readonly user_id: string
  readonly request_id: string
  readonly image_id: string
  readonly status: TaskStatus
  readonly export_to: string
  readonly export_format: string
  readonly format_options: FormatOptions
  readonly export_id: string
  readonly source: SourceIdentity
  readonly credentials_kind: string | null
  readonly credentials_key_id: string | null
  readonly credentials_wrapped_key: Buffer | null
  readonly credentials_ciphertext: Buffer | null
  readonly lease_epoch: number
  readonly attempts: number
  readonly max_attempts: number
  readonly upload_state: Record<string, string> | null
  readonly progress: Progress | null
  readonly message: string
  readonly result: ExportResult | null
  readonly failure: Failure | null
  readonly created_at: Date
  readonly updated_at: Date
  readonly started_at: Date | null
  readonly finished_at: Date | null
  readonly expires_at: Date | null
}

export const taskOf = (row: TaskRow): Task => ({
  id: taskId(row.id),
  owner: ownerId(row.owner),
  userId: row.user_id,
  requestId: row.request_id,
  request: {
    imageId: imageId(row.image_id),
    exportTo: row.export_to,
    exportFormat: row.export_format,
    formatOptions: row.format_options
  },
  exportId: row.export_id,
  status: row.status,
  message: row.message,
  progress: row.progress,
  failure: row.failure,
  result: row.result,
  credentials: row.credentials_kind
    ? { kind: row.credentials_kind, state: row.credentials_ciphertext ? 'sealed' : 'purged' }
    : null,
  attempts: row.attempts,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  expiresAt: row.expires_at
})

export function sealedOf(row: TaskRow): Sealed | null {
  const { credentials_key_id: keyId, credentials_wrapped_key: wrappedKey, credentials_ciphertext: ciphertext } = row
  return keyId && wrappedKey && ciphertext ? { keyId, wrappedKey, ciphertext } : null
}
