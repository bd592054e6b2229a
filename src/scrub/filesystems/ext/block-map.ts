import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import type { Claims } from './claims.ts'
import type { Inode } from './inode.ts'
import { descriptorBlock, descriptorBlocks } from './layout.ts'
import type { Superblock } from './superblock.ts'

const DIRECT = 12
const DOUBLE = 13

/** Whoever looks at the blocks of a file. Both may throw to end the visit. */
export type BlockVisitor = {
  /** A block that says where others lie, shown before it is read: who refuses what it has seen ends every loop. */
  tree(block: number): void
  /** `count` blocks with what the file holds from its block `at` on; not `written` is what was allocated ahead only. */
  run(at: number, block: number, count: number, written: boolean): void
}

/**
 * Shows all blocks of a file that is mapped by pointers, and those with pointers. Throws Refused.
 * @see https://docs.kernel.org/filesystems/ext4/ifork.html#direct-indirect-block-addressing
 */
export async function visitBlockMap(
  volume: Volume,
  sb: Superblock,
  inode: Inode,
  visitor: BlockVisitor
): Promise<void> {
  const perBlock = sb.blockBytes / 4
  const walk = async (at: number, block: number, depth: number): Promise<void> => {
    if (depth === 0) return visitor.run(at, block, 1, true)
    visitor.tree(block)
    const pointers = await volume.read(block * sb.blockBytes, sb.blockBytes)
    if (depth === 1) return visitRuns(visitor, at, pointers)
    for (const { index, block: next } of pointersIn(pointers)) {
      await walk(at + index * perBlock ** (depth - 1), next, depth - 1)
    }
  }
  let at = 0
  for (let i = 0; i < inode.pointers.length / 4; i += 1) {
    const depth = Math.max(0, i + 1 - DIRECT)
    const block = inode.pointers.readUInt32LE(i * 4)
    if (block !== 0) await walk(at, block, depth)
    at += perBlock ** depth
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
    for (const { block: reserved } of pointersIn(await volume.read(block * sb.blockBytes, sb.blockBytes))) {
      if (reserved < from || reserved >= from + sb.reservedDescriptorBlocks) {
        throw new Refused('resize-inode', 'its resize inode names blocks that are not reserved')
      }
    }
  }
}

/** Neighbours are shown at once. */
function visitRuns(visitor: BlockVisitor, at: number, pointers: Buffer): void {
  let run = { index: 0, block: 0, count: 0 }
  const show = () => run.count > 0 && visitor.run(at + run.index, run.block, run.count, true)
  for (const { index, block } of pointersIn(pointers)) {
    if (block === run.block + run.count && index === run.index + run.count) run.count += 1
    else {
      show()
      run = { index, block, count: 1 }
    }
  }
  show()
}

/** All but holes. */
function* pointersIn(bytes: Buffer): Generator<{ readonly index: number; readonly block: number }, void> {
  for (let index = 0; index < bytes.length / 4; index += 1) {
    const block = bytes.readUInt32LE(index * 4)
    if (block !== 0) yield { index, block }
  }
}
