import { createHash } from 'node:crypto'
import type { ExportRequest } from '../domain/task.ts'
import type { SourceIdentity } from './ports.ts'

/** Raised whenever the same image, format and options begin to give other bytes than before. */
export const LAYOUT_VERSION = 1

/** Equal for exports that write the same bytes, and only for those. Hex. */
export function contentIdOf(
  { exportFormat, formatOptions }: Pick<ExportRequest, 'exportFormat' | 'formatOptions'>,
  { sha512, diskFormat }: SourceIdentity
): string {
  const { zlib, zstd } = process.versions
  const facts = [LAYOUT_VERSION, zlib, zstd, sha512, diskFormat, exportFormat, Object.entries(formatOptions).sort()]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}
