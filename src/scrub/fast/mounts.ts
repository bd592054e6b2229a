import { fstabLines } from '../fstab.ts'
import { Refused } from '../refused.ts'
import type { ExtEditor } from './ext-editor.ts'
import type { Mount } from './mounted-guest.ts'

/** An ext file system of the disk, and the number its partition has for the guest. */
export type Mountable = { readonly editor: ExtEditor; readonly number: number }

/**
 * Where the guest's /etc/fstab mounts which of the other file systems; what it does not mount is not seen.
 * @param fstab the file, Latin-1
 * Throws Refused where it may mount one of them, but does not say which in a way that is known here.
 * @see fstab(5)
 */
export function mountsIn(fstab: string, root: ExtEditor, others: readonly Mountable[]): Mount[] {
  const mounts = new Map<string, ExtEditor>([['/', root]])
  let unclear = false
  for (const { what, at: path, types } of fstabLines(fstab)) {
    if (!path.startsWith('/') || path === '/') continue
    const found = others.filter((other) => isNamed(what, other))
    const [only, second] = found
    if (second || (only && mounts.has(path))) {
      throw new Refused('mounts-unclear', 'its fstab mounts several file systems under one name')
    }
    if (only) mounts.set(path, only.editor)
    else if (types.some((type) => /^(ext[234]|auto)$/.test(type))) unclear = true
  }
  if (unclear && mounts.size <= others.length) {
    throw new Refused('mounts-unclear', 'its fstab does not say in a known way which file system it mounts where')
  }
  return [...mounts].map(([path, editor]) => ({ path, editor }))
}

function isNamed(spec: string, { editor, number }: Mountable): boolean {
  const [, by, value = ''] =
    /^(UUID=|LABEL=|\/dev\/disk\/by-uuid\/|\/dev\/disk\/by-label\/)"?([^"]*)"?$/.exec(spec) ?? []
  if (by?.toLowerCase().includes('uuid')) return value.toLowerCase() === uuidOf(editor.ext.sb.uuid)
  if (by) return value !== '' && value === editor.ext.sb.label
  const [, disk] = /^\/dev\/(?:(?:[hsv]|xv)da|(?:nvme0n1|mmcblk0)p)(\d+)$/.exec(spec) ?? []
  return disk !== undefined && Number(disk) === number
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
