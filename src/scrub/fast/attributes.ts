import { Refused } from '../refused.ts'
import type { ExtVolume, StoredInode } from './ext-volume.ts'

const MAGIC = 0xea020000
const BLOCK_HEAD_BYTES = 32
const ENTRY_BYTES = 16
const SMALL_INODE = 128
const EXTRA_AT = 0x80
const BLOCK_AT = 0x68
const BLOCK_HIGH_AT = 0x76
/** `user.` and `trusted.`: what else there is are labels and access lists, without which a guest may not use a file. */
const FREELY_WRITTEN = new Set([1, 4])

/**
 * Whether a file has attributes in which anything may be written.
 * @see https://docs.kernel.org/filesystems/ext4/attributes.html
 */
export async function hasFreeAttributes(ext: ExtVolume, { bytes, attributes }: StoredInode): Promise<boolean> {
  const places = [namespacesIn(bytes, placeIn(bytes) + 4)]
  if (attributes !== 0) places.push(namespacesIn(await ext.block(attributes), BLOCK_HEAD_BYTES))
  return places.some((namespaces) => namespaces.some((namespace) => FREELY_WRITTEN.has(namespace)))
}

/** The inode without any attribute. Its block is left to those that share it. */
export function withoutAttributes(inode: Buffer): Buffer {
  const bytes = Buffer.from(inode)
  bytes.fill(0, placeIn(bytes))
  bytes.writeUInt32LE(0, BLOCK_AT)
  bytes.writeUInt16LE(0, BLOCK_HIGH_AT)
  return bytes
}

/** Where an inode's own attributes begin; its end, where it has none. */
function placeIn(inode: Buffer): number {
  if (inode.length <= SMALL_INODE) return inode.length
  const at = SMALL_INODE + inode.readUInt16LE(EXTRA_AT)
  return at + 4 <= inode.length && inode.readUInt32LE(at) === MAGIC ? at : inode.length
}

function namespacesIn(bytes: Buffer, start: number): number[] {
  const namespaces: number[] = []
  for (let at = start; at + 4 <= bytes.length && bytes.readUInt32LE(at) !== 0; ) {
    if (at + ENTRY_BYTES > bytes.length) throw new Refused('attributes-broken', 'attributes of a file are broken')
    namespaces.push(bytes.readUInt8(at + 1))
    at += ENTRY_BYTES + Math.ceil(bytes.readUInt8(at) / 4) * 4
  }
  return namespaces
}
