import { randomBytes } from 'node:crypto'
import { DestinationInvalid } from '../domain/destination-errors.ts'
import type { Removed } from './destination.ts'

/** The path of an object as a file system has it: the folders from the top, then the file. */
export type PathNames = { readonly folders: readonly string[]; readonly name: string }

/** File systems take 255 bytes; a part's name adds 52. */
const MAX_NAME_BYTES = 200

/**
 * Reads the path of an object's URL, each name percent-decoded once.
 * @throws DestinationInvalid DEST_URL_INVALID for names that no file can have
 */
export function readNames(url: URL): PathNames {
  const folders = url.pathname.slice(1).split('/').map(decode)
  const name = folders.pop()
  if (name === undefined || ![...folders, name].every(isPlainName)) throw invalid('a path of plain names is expected')
  return { folders, name }
}

/** Whether it names something in a folder, and nothing elsewhere. */
export const isPlainName = (name: string): boolean => !['', '.', '..'].includes(name) && !/[/\0]/.test(name)

/** Where an object is while it is not complete. No two uploads share one, so that a lost worker cannot publish another's. */
export const partName = (name: string, exportId: string): string =>
  `${partNameStart(name, exportId)}${randomBytes(4).toString('hex')}`

/** Whether a file has a name that `partName` gives to uploads of this export to an object of this name. */
export function isPartName(file: string, name: string, exportId: string): boolean {
  const start = partNameStart(name, exportId)
  return file.startsWith(start) && /^[0-9a-f]{8}$/.test(file.slice(start.length))
}

/** What was removed of uploads that are not complete, in words. */
export const partialFiles = (count: number): Removed =>
  count === 0 ? [] : [count === 1 ? 'partial file' : `${count} partial files`]

const partNameStart = (name: string, exportId: string): string => `.${name}.part-${exportId}-`

function decode(segment: string): string {
  try {
    const name = decodeURIComponent(segment)
    if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return name
  } catch {
    throw invalid('the path has to be percent-encoded UTF-8')
  }
  throw invalid(`a name in the path may have at most ${MAX_NAME_BYTES} bytes`)
}

const invalid = (why: string) => new DestinationInvalid('DEST_URL_INVALID', '/export_to', `export_to: ${why}.`)
