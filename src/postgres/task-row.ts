import type { ExportOptions } from '../domain/export-options.ts'
import { imageId, ownerId, taskId } from '../domain/ids.ts'
import type { ScrubReport } from '../domain/scrub-report.ts'
import {
  type Cancel,
  type Cleanup,
  type ExportResult,
  type Failure,
  type FormatOptions,
  NO_PROGRESS,
  type Priority,
  type Progress,
  type SentFile,
  type Task,
  type TaskStatus,
  type Warning
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
  readonly description: string
  readonly tags: readonly string[]
  readonly metadata: Readonly<Record<string, string>>
  readonly priority: Priority
  readonly keep_seconds: number | null
  readonly object_url: string | null
  readonly object_suffix: number
  readonly sent: SentFile | null
  readonly warnings: readonly Warning[]
  readonly cleanup: Cleanup | null
  readonly scrub_report: ScrubReport | null
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
  readonly upload_identity: string | null
  readonly progress: Progress | null
  readonly message: string
  readonly result: ExportResult | null
  readonly failure: Failure | null
  readonly version: number
  readonly cancel_requested_at: Date | null
  readonly canceled_by: Cancel['by'] | null
  readonly cancel_reason: string | null
  readonly retry_of: string | null
  /** Where it was counted. */
  readonly ahead?: number | null
  readonly created_at: Date
  readonly updated_at: Date
  readonly started_at: Date | null
  readonly finished_at: Date | null
  readonly expires_at: Date | null
}

/** By name, since a prepared statement that gives `*` fails from the moment a migration adds a column. */
export const TASK_COLUMNS = [
  'id',
  'owner',
  'user_id',
  'request_id',
  'image_id',
  'status',
  'export_to',
  'export_format',
  'format_options',
  'options',
  'description',
  'tags',
  'metadata',
  'priority',
  'keep_seconds',
  'object_url',
  'object_suffix',
  'sent',
  'warnings',
  'cleanup',
  'scrub_report',
  'export_id',
  'source',
  'credentials_kind',
  'credentials_fingerprint',
  'credentials_key_id',
  'credentials_wrapped_key',
  'credentials_ciphertext',
  'lease_epoch',
  'attempts',
  'max_attempts',
  'upload_state',
  'progress',
  'message',
  'result',
  'failure',
  'version',
  'cancel_requested_at',
  'canceled_by',
  'cancel_reason',
  'retry_of',
  'created_at',
  'updated_at',
  'started_at',
  'finished_at',
  'expires_at'
] as const satisfies readonly (keyof TaskRow)[]

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
  labels: {
    description: row.description,
    tags: row.tags,
    metadata: row.metadata,
    priority: row.priority,
    keepSeconds: row.keep_seconds
  },
  exportId: row.export_id,
  status: row.status,
  message: row.message,
  progress: row.progress && { ...NO_PROGRESS, ...row.progress },
  failure: row.failure,
  result: row.result,
  scrubReport: row.scrub_report,
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
  version: row.version,
  cancel: cancelOf(row),
  retryOf: row.retry_of === null ? null : taskId(row.retry_of),
  ahead: row.ahead ?? null,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  expiresAt: row.expires_at
})

export const cancelOf = ({
  canceled_by: by,
  cancel_reason: reason,
  cancel_requested_at: at
}: CancelRow): Cancel | null => (by && at ? { by, reason, at } : null)

export type CancelRow = Pick<TaskRow, 'canceled_by' | 'cancel_reason' | 'cancel_requested_at'>

/** Rows from before objects could be named have `<export_to>/<export_id>`. */
export const objectUrlOf = ({ object_url, export_to, export_id }: TaskRow): string =>
  object_url ?? `${export_to.replace(/\/$/, '')}/${export_id}`

export function sealedOf(row: TaskRow): Sealed | null {
  const { credentials_key_id: keyId, credentials_wrapped_key: wrappedKey, credentials_ciphertext: ciphertext } = row
  return keyId && wrappedKey && ciphertext ? { keyId, wrappedKey, ciphertext } : null
}
