import { ext4Crc } from '../filesystems/ext/checksums.ts'
import type { Inode } from '../filesystems/ext/inode.ts'
import type { Superblock } from '../filesystems/ext/superblock.ts'
import { Refused } from '../refused.ts'

const HEAD_BYTES = 8
const TAIL_BYTES = 12
const TAIL_MARK = 0xde
const FILE = 1

/** A name in a folder's block. */
export type FolderEntry = {
  /** One character a byte. */
  readonly name: string
  readonly inode: number
  /** Where it stands: the block, the byte in it. */
  readonly block: number
  readonly at: number
}

/**
 * The entries in a block of a folder, without those that were deleted. Blocks of a folder's index look as if they had none.
 * Throws Refused where it is broken.
 * @see https://docs.kernel.org/filesystems/ext4/directory.html
 */
export function* entriesIn(bytes: Buffer, block: number): Generator<FolderEntry, void> {
  for (const { at, inode, nameBytes } of places(bytes)) {
    if (inode === 0) continue
    const name = bytes.toString('latin1', at + HEAD_BYTES, at + HEAD_BYTES + nameBytes)
    if (name === '' || /[/\0]/.test(name)) throw new Refused('folder-broken', 'a folder has a name that cannot be')
    yield { name, inode, block, at }
  }
}

/** Deletes an entry, name and all. */
export function clearEntry(bytes: Buffer, at: number): void {
  const length = lengthAt(bytes, at)
  const keep = bytes.readUInt16LE(at + 4)
  bytes.fill(0, at, at + Math.min(length, HEAD_BYTES + bytes.readUInt8(at + 6)))
  bytes.writeUInt16LE(keep, at + 4)
}

/** Puts the entry of a file behind another that has room behind it, and tells whether there was one. */
export function addEntry(bytes: Buffer, sb: Superblock, name: Buffer, inode: number): boolean {
  const wanted = entryBytes(name.length)
  for (const place of places(bytes)) {
    const used = entryBytes(place.nameBytes)
    if (place.inode === 0 || place.length - used < wanted) continue
    const at = place.at + used
    bytes.writeUInt16LE(used, place.at + 4)
    bytes.fill(0, at, at + wanted)
    bytes.writeUInt32LE(inode, at)
    bytes.writeUInt16LE(place.length - used, at + 4)
    bytes.writeUInt8(name.length, at + 6)
    if (sb.features.fileTypes) bytes.writeUInt8(FILE, at + 7)
    name.copy(bytes, at + HEAD_BYTES)
    return true
  }
  return false
}

/** Brings a folder's block into agreement with its checksum, where folders have one. Throws Refused. */
export function sumUp(bytes: Buffer, sb: Superblock, folder: Inode): void {
  if (!sb.features.metadataCsum) return
  const tail = bytes.length - TAIL_BYTES
  if (bytes.readUInt16LE(tail + 4) !== TAIL_BYTES || bytes.readUInt8(tail + 7) !== TAIL_MARK) {
    throw new Refused('folder-broken', "a folder's block has no room for its checksum")
  }
  bytes.writeUInt32LE(ext4Crc(folder.seed, bytes.subarray(0, tail)), tail + 8)
}

function* places(bytes: Buffer) {
  for (let at = 0; at < bytes.length; ) {
    const length = lengthAt(bytes, at)
    const inode = bytes.readUInt32LE(at)
    const nameBytes = bytes.readUInt8(at + 6)
    if (inode !== 0 && entryBytes(nameBytes) > length) throw broken()
    yield { at, length, inode, nameBytes }
    at += length
  }
}

/** Blocks of 64 KiB have an entry that is longer than can be written down. */
function lengthAt(bytes: Buffer, at: number): number {
  if (at + HEAD_BYTES > bytes.length) throw broken()
  const stated = bytes.readUInt16LE(at + 4)
  const length = bytes.length === 65536 && (stated === 0 || stated === 65535) ? 65536 : stated
  if (length < HEAD_BYTES || length % 4 !== 0 || at + length > bytes.length) throw broken()
  return length
}

const entryBytes = (nameBytes: number): number => HEAD_BYTES + Math.ceil(nameBytes / 4) * 4

const broken = () => new Refused('folder-broken', 'a folder is broken')
