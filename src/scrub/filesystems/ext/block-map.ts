import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import type { Claimant, Claims } from './claims.ts'
import type { Inode } from './inode.ts'
import { descriptorBlock, descriptorBlocks } from './layout.ts'
import type { Superblock } from './superblock.ts'

const DIRECT = 12
const DOUBLE = 13

/**
 * Claims all blocks of a file that is mapped by pointers, and those with pointers. Loops end at once, since every block is
 * claimed before it is read. Throws Refused.
 * @see https://docs.kernel.org/filesystems/ext4/ifork.html#direct-indirect-block-addressing
 */
export async function claimBlockMap(volume: Volume, sb: Superblock, claims: Claims, inode: Inode): Promise<void> {
  const owner: Claimant = { lastCluster: -1 }
  const walk = async (block: number, depth: number): Promise<void> => {
    claims.file(depth === 0 ? owner : { lastCluster: -1 }, block, 1)
    if (depth === 0) return
    const pointers = await volume.read(block * sb.blockBytes, sb.blockBytes)
    if (depth === 1) claimRuns(claims, owner, pointers)
    else for (const next of pointersIn(pointers)) await walk(next, depth - 1)
  }
  for (let i = 0; i < inode.pointers.length / 4; i += 1) {
    const block = inode.pointers.readUInt32LE(i * 4)
    if (block !== 0) await walk(block, Math.max(0, i + 1 - DIRECT))
  }
}

/**
 * The file system's own inode 7 is no file: one block of it is its own, and names the blocks behind the descriptors that are
 * reserved for more of them.
 */
export async function claimResizeInode(volume: Volume, sb: Superblock, claims: Claims, inode: Inode): Promise<void> {
  const from = sb.features.metaBg ? 0 : descriptorBlock(sb, descriptorBlocks(sb))
  for (let i = 0; i < inode.pointers.length / 4; i += 1) {
    const block = inode.pointers.readUInt32LE(i * 4)
    if (block === 0) continue
    if (i !== DOUBLE) throw new Refused('resize-inode', 'its resize inode maps what it may not')
    claims.file({ lastCluster: -1 }, block, 1)
    for (const reserved of pointersIn(await volume.read(block * sb.blockBytes, sb.blockBytes))) {
      if (reserved < from || reserved >= from + sb.reservedDescriptorBlocks) {
        throw new Refused('resize-inode', 'its resize inode names blocks that are not reserved')
      }
    }
  }
}

/** Neighbours are claimed at once. */
function claimRuns(claims: Claims, owner: Claimant, pointers: Buffer): void {
  let first = 0
  let count = 0
  for (const block of pointersIn(pointers)) {
    if (block === first + count) count += 1
    else {
      if (count > 0) claims.file(owner, first, count)
      first = block
      count = 1
    }
  }
  if (count > 0) claims.file(owner, first, count)
}

/** All but holes. */
function* pointersIn(bytes: Buffer): Generator<number, void> {
  for (let at = 0; at < bytes.length; at += 4) {
    const block = bytes.readUInt32LE(at)
    if (block !== 0) yield block
  }
}
