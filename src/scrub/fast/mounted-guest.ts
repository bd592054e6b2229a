import type { GuestChange, GuestEntry, GuestFiles } from '../guest.ts'
import { Refused } from '../refused.ts'
import { type Count, type ExtEditor, NOTHING } from './ext-editor.ts'
import { ROOT_INODE, type StoredInode } from './ext-volume.ts'
import type { FolderEntry } from './folder-block.ts'

/** A file system and where it is seen: `/`, or an absolute path without a slash at its end. */
export type Mount = { readonly path: string; readonly editor: ExtEditor }

/** Something of the guest: `folder` and `entry` say what names it, where it is not the root of a file system. */
type Found = {
  readonly editor: ExtEditor
  readonly inode: StoredInode
  readonly folder?: StoredInode
  readonly entry?: FolderEntry
}

/** The files of ext file systems, as their guest sees them; and changes to them. */
export class MountedGuest implements GuestFiles {
  readonly #mounts: ReadonlyMap<string, ExtEditor>

  /** @param mounts one of them at `/` */
  constructor(mounts: readonly Mount[]) {
    this.#mounts = new Map(mounts.map(({ path, editor }) => [path, editor]))
  }

  async stat(path: string): Promise<GuestEntry | undefined> {
    const found = await this.#find(partsOf(path))
    return found && entryOf(found.entry?.name ?? '', found.inode)
  }

  async list(folder: string): Promise<readonly GuestEntry[]> {
    const parts = partsOf(folder)
    const found = await this.#find(parts)
    if (!parts || found?.inode.kind !== 'folder') return []
    const list: GuestEntry[] = []
    for (const entry of (await found.editor.ext.entries(found.inode)).values()) {
      const mounted = this.#mounts.get(`/${[...parts, entry.name].join('/')}`)
      list.push(entryOf(entry.name, await (mounted ?? found.editor).ext.inode(mounted ? ROOT_INODE : entry.inode)))
    }
    return list
  }

  async read(path: string, limit: number): Promise<Buffer | undefined> {
    const found = await this.#find(partsOf(path))
    if (found?.inode.kind !== 'file' || found.inode.size > limit) return undefined
    return found.editor.ext.content(found.inode)
  }

  async head(path: string, bytes: number): Promise<Buffer | undefined> {
    const found = await this.#find(partsOf(path))
    return found?.inode.kind === 'file' ? found.editor.ext.content(found.inode, bytes) : undefined
  }

  /** What is not there is neither removed nor emptied. Throws Refused for a change that cannot be made here. */
  async apply(change: GuestChange): Promise<Count> {
    const parts = partsOf(change.path)
    const found = await this.#find(parts)
    if (!parts) throw new Refused('path', 'a path to be changed is not absolute')
    if (change.kind === 'write') return this.#write(parts, found, change.bytes, change.mode)
    if (!found) return NOTHING
    const path = `/${parts.join('/')}`
    const inside = path === '/' ? path : `${path}/`
    if ([...this.#mounts.keys()].some((mount) => mount !== path && mount.startsWith(inside))) {
      throw new Refused('mount-inside', 'a folder to be removed holds another file system')
    }
    const { editor, inode, folder, entry } = found
    if (change.kind === 'blank') return editor.blankFile(inode, change.from)
    if (change.kind === 'remove' && folder && entry) return editor.remove(folder, entry)
    if (inode.kind === 'folder') return editor.emptyFolder(inode)
    return inode.kind === 'file' ? editor.emptyFile(inode) : NOTHING
  }

  async #write(parts: readonly string[], found: Found | undefined, bytes: Buffer, mode: number): Promise<Count> {
    if (found?.inode.kind === 'file') return found.editor.overwrite(found.inode, bytes)
    if (found?.inode.kind === 'folder') throw new Refused('write-folder', 'a file to be written is a folder')
    const parent = await this.#find(parts.slice(0, -1))
    const name = parts.at(-1)
    if (parent?.inode.kind !== 'folder' || name === undefined) {
      throw new Refused('write-nowhere', 'a file to be written has no folder')
    }
    // A link is not followed: the file takes its place.
    if (found?.folder && found.entry) await found.editor.remove(found.folder, found.entry)
    return parent.editor.create(parent.inode, name, bytes, mode)
  }

  async #find(parts: readonly string[] | undefined): Promise<Found | undefined> {
    const root = this.#mounts.get('/')
    if (!parts || !root) return undefined
    let found: Found = { editor: root, inode: await root.ext.inode(ROOT_INODE) }
    let path = ''
    for (const name of parts) {
      const { editor, inode } = found
      if (inode.kind !== 'folder') return undefined
      path += `/${name}`
      const mounted = this.#mounts.get(path)
      const entry = (await editor.ext.entries(inode)).get(name)
      if (!entry) return undefined
      found = mounted
        ? { editor: mounted, inode: await mounted.ext.inode(ROOT_INODE) }
        : { editor, inode: await editor.ext.inode(entry.inode), folder: inode, entry }
    }
    return found
  }
}

/** Undefined for what is no path of a guest. */
function partsOf(path: string): readonly string[] | undefined {
  const parts = path.split('/').filter((part) => part !== '')
  return path.startsWith('/') && !parts.includes('.') && !parts.includes('..') ? parts : undefined
}

const entryOf = (name: string, inode: StoredInode): GuestEntry => ({
  name,
  kind: inode.kind === 'file' || inode.kind === 'folder' || inode.kind === 'link' ? inode.kind : 'other',
  bytes: inode.kind === 'file' ? inode.size : 0,
  mode: inode.bytes.readUInt16LE(0) & 0o7777,
  uid: inode.bytes.readUInt16LE(2) + inode.bytes.readUInt16LE(0x78) * 2 ** 16,
  gid: inode.bytes.readUInt16LE(0x18) + inode.bytes.readUInt16LE(0x7a) * 2 ** 16
})
