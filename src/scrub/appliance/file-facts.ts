import { constants } from 'node:fs'
import type { GuestEntry } from '../guest.ts'

const KINDS = new Map<number, GuestEntry['kind']>([
  [constants.S_IFREG, 'file'],
  [constants.S_IFDIR, 'folder'],
  [constants.S_IFLNK, 'link']
])

/** What guestfish prints of `lstatns`, or of each in `lstatnslist`: undefined where there is nothing of that name. */
export function factsOf(printed: string, names: readonly string[]): (GuestEntry | undefined)[] {
  const structs = printed.includes('{') ? printed.split('{').slice(1) : [printed]
  return names.map((name, i) => entryOf(name, structs[i] ?? ''))
}

function entryOf(name: string, struct: string): GuestEntry | undefined {
  const fields = new Map([...struct.matchAll(/^ *(st_\w+): (-?\d+)$/gm)].map(([, key, value]) => [key, Number(value)]))
  const mode = fields.get('st_mode')
  if (mode === undefined || fields.get('st_ino') === -1) return undefined
  const kind = KINDS.get(mode & constants.S_IFMT) ?? 'other'
  const bytes = kind === 'file' ? (fields.get('st_size') ?? 0) : 0
  return { name, kind, bytes, mode: mode & 0o7777, uid: fields.get('st_uid') ?? 0, gid: fields.get('st_gid') ?? 0 }
}

/** Bytes of a folder itself, which grow with what is in it. */
export const folderBytes = (printed: string): number => Number(/^ *st_size: (\d+)$/m.exec(printed)?.[1] ?? 0)
