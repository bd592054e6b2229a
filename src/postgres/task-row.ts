import type { ExportOptions } from '../domain/export-options.ts'
import { imageId, ownerId, taskId } from '../domain/ids.ts'
import type {
  Cleanup,
  ExportResult,
  Failure,
  FormatOptions,
  Progress,
  SentFile,
  Task,
  TaskStatus,
  Warning
} from '../domain/task.ts'
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
  readonly options: ExportOptions
  readonly object_url: string | null
  readonly object_suffix: number
  readonly sent: SentFile | null
  readonly warnings: readonly Warning[]
  readonly cleanup: Cleanup | null
  readonly export_id: string
  readonly source: SourceIdentity
  readonly credentials_kind: string | null
  readonly credentials_fingerprint: string | null
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
    formatOptions: row.format_options,
    options: row.options
  },
  exportId: row.export_id,
  status: row.status,
  message: row.message,
  progress: row.progress,
  failure: row.failure,
  result: row.result,
  warnings: row.warnings,
  cleanup: row.cleanup,
  credentials: row.credentials_kind
    ? {
        kind: row.credentials_kind,
        fingerprint: row.credentials_fingerprint,
        state: row.credentials_ciphertext ? 'sealed' : 'purged'
      }
    : null,
  attempts: row.attempts,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  expiresAt: row.expires_at
})

/** Rows from before objects could be named have `<export_to>/<export_id>`. */
export const objectUrlOf = ({ object_url, export_to, export_id }: TaskRow): string =>
  object_url ?? `${export_to.replace(/\/$/, '')}/${export_id}`

export function sealedOf(row: TaskRow): Sealed | null {
  const { credentials_key_id: keyId, credentials_wrapped_key: wrappedKey, credentials_ciphertext: ciphertext } = row
  return keyId && wrappedKey && ciphertext ? { keyId, wrappedKey, ciphertext } : null
}
