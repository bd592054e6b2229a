import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import type { Claims } from './claims.ts'
import { checkBitmap, type Group, type Groups } from './groups.ts'
import type { Superblock } from './superblock.ts'

/**
 * Holds the block bitmaps against what was found to be needed. They must agree in every bit: a needed block that is marked
 * free would be lost, and one that is marked used but that nobody needs may hold a deleted file.
 * @param tables how many clusters of each group its tables need
 * Throws Refused.
 */
export async function checkBlockBitmaps(
  volume: Volume,
  sb: Superblock,
  groups: Groups,
  claims: Claims,
  tables: Uint32Array
): Promise<void> {
  const pageClusters = sb.groupBlocks / sb.clusterBlocks
  let free = 0
  let unneeded = false
  let miscounted = false
  for (let index = 0; index < sb.groups; index += 1) {
    const group = groups.get(index)
    const needed = claims.needed.count(index)
    const clusters = clustersOf(sb, index)
    if (group.blocksUnused) {
      if (needed !== tables[index]) refuseLie()
    } else {
      const bitmap = await blockBitmap(volume, sb, group, pageClusters)
      if (compare(bitmap, claims.needed.page(index), clusters)) unneeded = true
    }
    if (group.freeClusters !== clusters - needed) miscounted = true
    // The superblock counts free clusters too, but in blocks.
    free += (clusters - needed) * sb.clusterBlocks
  }
  if (unneeded) throw new Refused('blocks-unreferenced', 'blocks are marked as used that nothing refers to')
  if (miscounted) throw new Refused('free-count', "a group's count of free blocks is wrong")
  if (free !== sb.freeBlocks) {
    throw new Refused('free-count', "the superblock's count of free blocks is wrong")
  }
}

/** Clusters of a group that exist: the last group may be shorter, and the last cluster too. */
export function clustersOf(sb: Superblock, group: number): number {
  const left = sb.blocks - sb.firstBlock - group * sb.groupBlocks
  return Math.ceil(Math.min(sb.groupBlocks, left) / sb.clusterBlocks)
}

async function blockBitmap(volume: Volume, sb: Superblock, group: Group, clusters: number): Promise<Buffer> {
  const bitmap = await volume.read(group.blockBitmap * sb.blockBytes, clusters / 8)
  checkBitmap(sb, bitmap, group.blockBitmapChecksum)
  return bitmap
}

/** Throws Refused when a needed cluster is not marked; tells whether one is marked that is not needed. */
function compare(bitmap: Buffer, page: Uint8Array | undefined, clusters: number): boolean {
  let unneeded = false
  for (let at = 0; at * 8 < clusters; at += 1) {
    const exist = at * 8 + 8 <= clusters ? 0xff : (1 << (clusters % 8)) - 1
    const marked = (bitmap[at] ?? 0) & exist
    const needed = page?.[at] ?? 0
    if ((needed & ~marked) !== 0) refuseLie()
    if (marked !== needed) unneeded = true
  }
  return unneeded
}

function refuseLie(): never {
  throw new Refused('bitmap-lies', 'a block that is in use is marked as free')
}
