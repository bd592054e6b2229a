import { isVirtual } from '../destinations/tempurl/place.ts'
import type { ExportResult } from '../domain/task.ts'

/** What a temporary URL needs to know of the file that its task has written. */
export type SettledFile = { readonly fileName: string; readonly virtual: boolean; readonly sha256: string }

/** @param result of a task that wrote to `tempurl:`; its location is as place.ts has it */
export function settledFile({ location, sha256 }: Pick<ExportResult, 'location' | 'sha256'>): SettledFile {
  const url = new URL(location)
  if (sha256 === null) throw new Error('a file for download has no SHA-256')
  const name = url.pathname.slice(url.pathname.lastIndexOf('/') + 1)
  return { fileName: decodeURIComponent(name), virtual: isVirtual(url), sha256 }
}
