import { EXTENTS } from '../filesystems/ext/inode.ts'
import { Refused } from '../refused.ts'
import { hasFreeAttributes, withoutAttributes } from './attributes.ts'
import { type ExtVolume, ROOT_INODE, type StoredInode } from './ext-volume.ts'
import { addEntry, clearEntry, type FolderEntry, sumUp } from './folder-block.ts'
import { Room } from './room.ts'

const REGULAR = 0o100000
const INDEXED = 0x1000
const HUGE_FILE = 0x40000
const EXTENT_MAGIC = 0xf30a
const MAX_EXTENT = 32768
const DIRECT = 12
const MAX_NAME_BYTES = 255
const MAX_DEPTH = 500
const MAX_REMOVED = 2_000_000
const AT = {
  mode: 0,
  sizeLow: 4,
  blocksLow: 0x1c,
  links: 0x1a,
  flags: 0x20,
  pointers: 0x28,
  sizeHigh: 0x6c,
  blocksHigh: 0x74
}
const TIMES_AT = [0x8, 0xc, 0x10]
const CREATED_AT = 0x90
const EXTRA_AT = 0x80
const EXTRA_BYTES = 32

/** Files that were changed, and the bytes that were in them. */
export type Count = { readonly files: number; readonly bytes: number }
export const NOTHING: Count = { files: 0, bytes: 0 }

/**
 * Changes files of an ext file system as far as only they themselves know of it: names, inodes and what is written. Bitmaps,
 * counts and indexes of folders are then wrong, until its own check has settled them.
 * All methods throw Refused where something is not as it must be.
 */
export class ExtEditor {
  readonly ext: ExtVolume
  readonly #room: Room
  readonly #now: number
  #removed = 0

  /** @param now the time that new files bear, in seconds of 1970 */
  constructor(ext: ExtVolume, now: number) {
    this.ext = ext
    this.#room = new Room(ext)
    this.#now = now
  }

  /** A file, or a folder with all in it. */
  async remove(folder: StoredInode, entry: FolderEntry): Promise<Count> {
    const count = await this.#release(entry, 0)
    await this.#clear(folder, [entry])
    return count
  }

  /** Leaves a folder with nothing in it; the root of a file system keeps its lost+found. */
  async emptyFolder(folder: StoredInode): Promise<Count> {
    const entries = [...(await this.ext.entries(folder)).values()].filter(
      ({ name }) => folder.number !== ROOT_INODE || name !== 'lost+found'
    )
    const counts: Count[] = []
    for (const entry of entries) counts.push(await this.#release(entry, 0))
    await this.#clear(folder, entries)
    return total(counts)
  }

  /** A file stays, with its owner and mode; its attributes too, unless there are some in which anything may be written. */
  async emptyFile(file: StoredInode): Promise<Count> {
    const noted = await hasFreeAttributes(this.ext, file)
    if (file.size === 0 && !noted) return NOTHING
    await this.ext.putInode(file.number, this.#mapped(noted ? withoutAttributes(file.bytes) : file.bytes, 0, 0, 0))
    return { files: 1, bytes: file.size }
  }

  /** A file's blocks stay its own, with nothing in them from a byte on where a block begins. */
  async blankFile(file: StoredInode, from: number): Promise<Count> {
    const { blockBytes } = this.ext.sb
    const kept = Math.ceil(from / blockBytes)
    for (const { at, block, count } of file.kind === 'file' ? await this.ext.runs(file) : []) {
      const skipped = Math.max(0, kept - at)
      if (skipped < count) await this.ext.zeroContent(block + skipped, count - skipped)
    }
    return { files: 1, bytes: Math.max(0, file.size - from) }
  }

  async overwrite(file: StoredInode, content: Buffer): Promise<Count> {
    if (file.size === content.length && (await this.ext.content(file)).equals(content)) return NOTHING
    await this.ext.putInode(file.number, await this.#filled(file.bytes, content))
    return { files: 1, bytes: 0 }
  }

  /** A new file of root's. There must be none of this name. */
  async create(folder: StoredInode, name: string, content: Buffer, mode: number): Promise<Count> {
    const nameBytes = Buffer.from(name, 'latin1')
    if (nameBytes.length > MAX_NAME_BYTES) throw new Refused('name-too-long', 'a name to be written is too long')
    const number = await this.#room.inode()
    await this.ext.putInode(number, await this.#filled(this.#fresh(mode), content))
    await this.#add(folder, nameBytes, number)
    return { files: 1, bytes: 0 }
  }

  /** Takes one name from an inode; the last one takes the inode along. */
  async #release({ inode: number }: FolderEntry, depth: number): Promise<Count> {
    this.#removed += 1
    if (this.#removed > MAX_REMOVED)
      throw new Refused('too-many-files', 'more files are to be removed than are removed here')
    if (depth > MAX_DEPTH) throw new Refused('too-deep', 'its folders are deeper than are followed here')
    if (number < this.ext.sb.firstInode)
      throw new Refused('own-inode', "a folder names one of the file system's own inodes")
    const inode = await this.ext.inode(number)
    if (inode.links === 0 || inode.kind === undefined || inode.kind === 'none') {
      throw new Refused('inode-deleted', 'a folder names a file that was deleted')
    }
    if (inode.kind !== 'folder' && inode.links > 1) {
      inode.bytes.writeUInt16LE(inode.links - 1, AT.links)
      await this.ext.putInode(number, inode.bytes)
      return { files: 1, bytes: 0 }
    }
    const counts: Count[] = [{ files: 1, bytes: inode.kind === 'file' ? inode.size : 0 }]
    if (inode.kind === 'folder') {
      for (const entry of (await this.ext.entries(inode)).values()) counts.push(await this.#release(entry, depth + 1))
    }
    await this.ext.putInode(number, Buffer.alloc(inode.bytes.length), false)
    return total(counts)
  }

  async #clear(folder: StoredInode, entries: readonly FolderEntry[]): Promise<void> {
    for (const [number, places] of Map.groupBy(entries, ({ block }) => block)) {
      const bytes = await this.ext.block(number)
      for (const { at } of places) clearEntry(bytes, at)
      sumUp(bytes, this.ext.sb, folder)
      await this.ext.putBlock(number, bytes)
    }
    this.ext.forgetNames(folder.number, entries)
  }

  async #add(folder: StoredInode, name: Buffer, inode: number): Promise<void> {
    for (const { at, block, count } of await this.ext.runs(folder)) {
      for (let i = 0; i < count; i += 1) {
        // Behind the two entries of its first block lies a folder's index.
        if (at + i === 0 && (folder.flags & INDEXED) !== 0) continue
        const bytes = await this.ext.block(block + i)
        if (!addEntry(bytes, this.ext.sb, name, inode)) continue
        sumUp(bytes, this.ext.sb, folder)
        await this.ext.putBlock(block + i, bytes)
        this.ext.forgetFolder(folder.number)
        return
      }
    }
    throw new Refused('no-room', 'a folder has no room for a file that is to be written')
  }

  #fresh(mode: number): Buffer {
    const bytes = Buffer.alloc(this.ext.sb.inodeBytes)
    bytes.writeUInt16LE(REGULAR | (mode & 0o7777), AT.mode)
    bytes.writeUInt16LE(1, AT.links)
    const wide = bytes.length > EXTRA_AT
    if (wide) bytes.writeUInt16LE(EXTRA_BYTES, EXTRA_AT)
    for (const at of [...TIMES_AT, ...(wide ? [CREATED_AT] : [])]) bytes.writeUInt32LE(this.#now, at)
    return bytes
  }

  async #filled(inode: Buffer, content: Buffer): Promise<Buffer> {
    const { blockBytes, features } = this.ext.sb
    const count = Math.ceil(content.length / blockBytes)
    if (count > (features.extents ? MAX_EXTENT : DIRECT))
      throw new Refused('no-room', 'a file to be written is too large')
    const first = count === 0 ? 0 : await this.#room.blocks(count)
    for (let i = 0; i < count; i += 1) {
      const block = Buffer.alloc(blockBytes)
      content.copy(block, 0, i * blockBytes)
      await this.ext.putBlock(first + i, block)
    }
    return this.#mapped(inode, content.length, first, count)
  }

  /** The inode of a file that holds `size` bytes in blocks that follow each other. */
  #mapped(inode: Buffer, size: number, first: number, count: number): Buffer {
    const { blockBytes, features } = this.ext.sb
    const bytes = Buffer.from(inode)
    const attributes = bytes.readUInt32LE(0x68) === 0 ? 0 : 1
    bytes.writeUInt32LE(size, AT.sizeLow)
    bytes.writeUInt32LE(0, AT.sizeHigh)
    bytes.writeUInt32LE((count + attributes) * (blockBytes / 512), AT.blocksLow)
    bytes.writeUInt16LE(0, AT.blocksHigh)
    const flags = bytes.readUInt32LE(AT.flags) & ~HUGE_FILE
    bytes.writeUInt32LE((features.extents ? flags | EXTENTS : flags) >>> 0, AT.flags)
    const pointers = bytes.subarray(AT.pointers, AT.pointers + 60).fill(0)
    if (!features.extents) for (let i = 0; i < count; i += 1) pointers.writeUInt32LE(first + i, i * 4)
    else {
      pointers.writeUInt16LE(EXTENT_MAGIC, 0)
      pointers.writeUInt16LE(count === 0 ? 0 : 1, 2)
      pointers.writeUInt16LE(4, 4)
      if (count > 0) {
        pointers.writeUInt16LE(count, 16)
        pointers.writeUInt16LE(Math.floor(first / 2 ** 32), 18)
        pointers.writeUInt32LE(first % 2 ** 32, 20)
      }
    }
    return bytes
  }
}

export const total = (counts: readonly Count[]): Count =>
  counts.reduce((sum, { files, bytes }) => ({ files: sum.files + files, bytes: sum.bytes + bytes }), NOTHING)
