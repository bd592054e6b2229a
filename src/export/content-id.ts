import { createHash } from 'node:crypto'
import type { ExportRequest } from '../domain/task.ts'
import type { ToldProperties } from '../formats/format-family.ts'
import type { SourceIdentity } from './ports.ts'

/** Raised whenever the same image, format and options begin to give other bytes than before. */
export const LAYOUT_VERSION = 2

/**
 * Equal for exports that write the same bytes, and only for those. Hex.
 * @param scrub identity of what is done to the disk before; empty where it leaves as it is
 * @param told properties of the image that the file holds
 */
export function contentIdOf(
  { exportFormat, formatOptions }: Pick<ExportRequest, 'exportFormat' | 'formatOptions'>,
  { sha512, diskFormat }: SourceIdentity,
  scrub: readonly unknown[] = [],
  told: ToldProperties = {}
): string {
  const { zlib, zstd } = process.versions
  const options = Object.entries(formatOptions).sort()
  const properties = Object.keys(told).length > 0 ? [told] : []
  const facts = [LAYOUT_VERSION, zlib, zstd, sha512, diskFormat, exportFormat, options, ...scrub, ...properties]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}
