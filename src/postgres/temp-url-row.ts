import { imageId, taskId } from '../domain/ids.ts'
import type { TempUrl } from '../temp-urls/ports.ts'

export const LIVING = 'revoked_at is null and expires_at > now()'

/** A row of `temp_urls` as pg hands it out. */
export type TempUrlRow = {
  readonly task_id: string
  readonly image_id: string
  readonly file_name: string
  readonly bytes: string
  readonly sha256: string
  readonly virtual: boolean
  readonly layout_version: number
  readonly generation: number
  readonly ip_range: string | null
  readonly created_at: Date
  readonly expires_at: Date
}

export const tempUrlOf = (row: TempUrlRow): TempUrl => ({
  taskId: taskId(row.task_id),
  imageId: imageId(row.image_id),
  fileName: row.file_name,
  bytes: Number(row.bytes),
  sha256: row.sha256,
  virtual: row.virtual,
  layoutVersion: row.layout_version,
  generation: row.generation,
  ipRange: row.ip_range,
  createdAt: row.created_at,
  expiresAt: row.expires_at
})
