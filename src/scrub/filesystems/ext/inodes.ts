import { KiB } from '../../../domain/bytes.ts'
import { isZero } from '../../is-zero.ts'
import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import { type BlockVisitor, claimResizeInode, visitBlockMap } from './block-map.ts'
import type { Claimant, Claims } from './claims.ts'
import { visitExtents } from './extent-tree.ts'
import { checkBitmap, type Group, type Groups } from './groups.ts'
import { EXTENTS, INLINE_DATA, type Inode, inodeOf, isIntact, isShortLink } from './inode.ts'
import type { Superblock } from './superblock.ts'

/** Of an inode table at a time; a multiple of any inode. */
const SLICE_BYTES = 256 * KiB
export const RESIZE_INODE = 7
/** Flags of files with something behind their ends: what is encrypted, whole blocks at a time, and the tree of fs-verity. */
const BEYOND_END = 0x800 | 0x100000

/**
 * Claims the blocks of every file, folder and table of the file system. The inode tables are the truth: an inode that lives
 * though its bitmap calls it free is a lie found, and so is one that the bitmap calls used but that names no file.
 * Throws Refused.
 */
export async function claimInodes(volume: Volume, sb: Superblock, groups: Groups, claims: Claims): Promise<void> {
  let free = 0
  for (let index = 0; index < sb.groups; index += 1) {
    const group = groups.get(index)
    const used = await inodeBitmap(volume, sb, group)
    let usedCount = 0
    for await (const { bytes, slot } of inodeTable(volume, sb, group, used)) {
      const number = index * sb.groupInodes + slot + 1
      if (!isSet(used, slot)) {
        refuseLiving(bytes, number, slot, group, sb)
        const at = group.inodeTable * sb.blockBytes + slot * sb.inodeBytes
        if (!isZero(bytes)) claims.noteRemains(at, sb.inodeBytes)
      } else {
        usedCount += 1
        await claimInode(volume, sb, claims, bytes, number)
      }
    }
    if (group.freeInodes !== sb.groupInodes - usedCount) {
      throw new Refused('free-count', "a group's count of free inodes is wrong")
    }
    free += group.freeInodes
  }
  if (free !== sb.freeInodes) throw new Refused('free-count', "the superblock's count of free inodes is wrong")
}

export async function inodeBitmap(volume: Volume, sb: Superblock, group: Group): Promise<Buffer> {
  if (group.inodesUnused) return Buffer.alloc(sb.groupInodes / 8)
  const bitmap = await volume.read(group.inodeBitmap * sb.blockBytes, sb.groupInodes / 8)
  checkBitmap(sb, bitmap, group.inodeBitmapChecksum)
  return bitmap
}

/** The inodes of a group but those that are known to be zeros and free: there are holes where most tables lie. */
async function* inodeTable(volume: Volume, sb: Superblock, group: Group, used: Buffer) {
  const start = group.inodeTable * sb.blockBytes
  const bytesInAll = sb.groupInodes * sb.inodeBytes
  const isIdle = (at: number, length: number) => {
    const bits = used.subarray(Math.floor(at / sb.inodeBytes / 8), Math.ceil((at + length) / sb.inodeBytes / 8))
    return volume.isZero(start + at, length) && bits.every((byte) => byte === 0)
  }
  if (isIdle(0, bytesInAll)) return
  for (let at = 0; at < bytesInAll; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, bytesInAll - at)
    if (isIdle(at, length)) continue
    const slice = await volume.read(start + at, length)
    const first = at / sb.inodeBytes
    const last = first + length / sb.inodeBytes
    for (let slot = first; slot < last; slot += 1) {
      const from = (slot - first) * sb.inodeBytes
      yield { bytes: slice.subarray(from, from + sb.inodeBytes), slot }
    }
  }
}

/** What stands in parts of a table that were never used may come from an older file system, unless its checksum is right. */
export function refuseLiving(bytes: Buffer, number: number, slot: number, group: Group, sb: Superblock): void {
  const living = bytes.readUInt16LE(0x1a) > 0 && bytes.readUInt32LE(0x14) === 0 && bytes.readUInt16LE(0) !== 0
  if (!living) return
  const neverUsed = group.inodesUnused || slot >= sb.groupInodes - group.inodesNeverUsed
  const leftover = sb.features.metadataCsum ? !isIntact(bytes, number, sb) : neverUsed && !group.inodesZeroed
  if (!leftover) throw new Refused('inode-bitmap-lies', 'an inode that lives is marked as free')
}

async function claimInode(volume: Volume, sb: Superblock, claims: Claims, bytes: Buffer, number: number) {
  const own = number < sb.firstInode
  if (bytes.every((byte) => byte === 0)) {
    if (own) return
    throw new Refused('inode-cleared', 'an inode that is marked as used holds nothing')
  }
  if (!isIntact(bytes, number, sb)) throw new Refused('checksum', "an inode's checksum is wrong")
  const inode = inodeOf(bytes, number, sb)
  if (!own && (inode.links === 0 || inode.deletedAt !== 0)) {
    throw new Refused('inode-deleted', 'a deleted inode is marked as used')
  }
  if (inode.kind === undefined || (inode.kind === 'none' && !own)) {
    throw new Refused('inode-mode', 'an inode is neither file nor folder nor anything else')
  }
  if (inode.attributes !== 0) claims.attributes(inode.attributes)
  if (hasBlocks(inode)) await claimBlocks(volume, sb, claims, inode)
}

export const hasBlocks = (inode: Inode): boolean =>
  inode.kind !== 'special' && !isShortLink(inode) && (inode.flags & INLINE_DATA) === 0

async function claimBlocks(volume: Volume, sb: Superblock, claims: Claims, inode: Inode): Promise<void> {
  const owner: Claimant = { lastCluster: -1 }
  if ((inode.flags & EXTENTS) === 0 && inode.number === RESIZE_INODE) {
    return claimResizeInode(volume, sb, claims, inode)
  }
  await visitBlocks(volume, sb, inode, {
    tree: (block) => claims.file({ lastCluster: -1 }, block, 1),
    run: (at, block, count, written) => {
      claims.file(owner, block, count)
      if (!written) claims.noteUnwritten(block, count)
      else {
        const needed = Math.min(Math.max(0, neededBytes(inode, sb) - at * sb.blockBytes), count * sb.blockBytes)
        claims.noteRemains(block * sb.blockBytes + needed, count * sb.blockBytes - needed)
      }
    }
  })
}

/** How much of an inode's blocks is ever read. A journal at rest is read no further than its head. */
function neededBytes(
  { number, kind, flags, size }: Inode,
  { firstInode, journalInode, orphanInode, blockBytes }: Superblock
) {
  if (number === journalInode) return blockBytes
  const ends = (kind === 'file' || kind === 'link') && number >= firstInode && number !== orphanInode
  return ends && (flags & BEYOND_END) === 0 ? size : Infinity
}

/** Shows the blocks of a file, folder or long link, however they are mapped. Throws Refused. */
export const visitBlocks = (volume: Volume, sb: Superblock, inode: Inode, visitor: BlockVisitor): Promise<void> =>
  (inode.flags & EXTENTS) !== 0 ? visitExtents(volume, sb, inode, visitor) : visitBlockMap(volume, sb, inode, visitor)

export const isSet = (bitmap: Buffer, bit: number): boolean => ((bitmap[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0
