import type { Groups } from '../filesystems/ext/groups.ts'
import { type Inode, inodeOf, isIntact } from '../filesystems/ext/inode.ts'
import { hasBlocks, visitBlocks } from '../filesystems/ext/inodes.ts'
import type { Superblock } from '../filesystems/ext/superblock.ts'
import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'

/** Some 50 MiB of memory. */
const MAX_RUNS = 1024 * 1024

/** `count` blocks from `block` on, which hold the file from its block `at` on. What was never written to reads as zeros. */
export type BlockRun = {
  readonly at: number
  readonly block: number
  readonly count: number
  readonly written: boolean
}

/** Where an inode lies, in bytes of the volume. Throws Refused for a number that no inode has. */
export function inodePlace(sb: Superblock, groups: Groups, number: number): number {
  if (!(number >= 1) || number > sb.groups * sb.groupInodes) {
    throw new Refused('inode-outside', 'a folder names an inode that does not exist')
  }
  const slot = (number - 1) % sb.groupInodes
  return groups.get(Math.floor((number - 1) / sb.groupInodes)).inodeTable * sb.blockBytes + slot * sb.inodeBytes
}

/** Throws Refused where its checksum is wrong. */
export async function readInode(volume: Volume, sb: Superblock, groups: Groups, number: number): Promise<Inode> {
  const bytes = await volume.read(inodePlace(sb, groups, number), sb.inodeBytes)
  if (!isIntact(bytes, number, sb)) throw new Refused('checksum', "an inode's checksum is wrong")
  return inodeOf(bytes, number, sb)
}

/** The blocks of a file, folder or long link, in their order. Throws Refused where they cannot be so. */
export async function runsOf(volume: Volume, sb: Superblock, inode: Inode): Promise<BlockRun[]> {
  const runs: BlockRun[] = []
  const trees = new Set<number>()
  let blocks = 0
  const count = (more: number) => {
    blocks += more
    if (blocks > sb.blocks || runs.length > MAX_RUNS) {
      throw new Refused('file-too-large', 'a file is in more pieces than are followed here')
    }
  }
  if (!hasBlocks(inode)) return runs
  await visitBlocks(volume, sb, inode, {
    tree(block) {
      if (trees.has(block)) throw new Refused('block-shared', 'a block of it has two owners')
      trees.add(block)
      count(1)
    },
    run(at, block, length, written) {
      if (block < sb.firstBlock || block + length > sb.blocks) {
        throw new Refused('block-outside', 'it names a block outside itself')
      }
      runs.push({ at, block, count: length, written })
      count(length)
    }
  })
  return runs
}
