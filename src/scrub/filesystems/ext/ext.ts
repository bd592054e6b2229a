import { type ByteRanges, RangesBuilder } from '../../byte-ranges.ts'
import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import type { FileSystemReader, Unused } from '../file-system.ts'
import { clearRuns } from '../unit-set.ts'
import { checkBlockBitmaps, clustersOf } from './block-bitmaps.ts'
import { Claims } from './claims.ts'
import { Groups } from './groups.ts'
import { claimInodes } from './inodes.ts'
import { groupStart, headRemains } from './layout.ts'
import { MAGIC, MAGIC_AT, readSuperblock, SUPERBLOCK_AT, SUPERBLOCK_BYTES, type Superblock } from './superblock.ts'

const MMP_MAGIC = 0x004d4d50
const MMP_CLEAN = 0xff4d4d50

/**
 * ext2, ext3 and ext4. Unused is what no inode and no table needs, after this was found to be what the block bitmaps say, and
 * what was allocated ahead but never written to, for it reads as zeros. What follows the ends of files, deleted inodes and a
 * journal without a change in it are remains.
 */
export const ext: FileSystemReader = {
  name: 'ext2/3/4',

  async matches(volume) {
    if (volume.length < SUPERBLOCK_AT + SUPERBLOCK_BYTES) return false
    const bytes = await volume.read(SUPERBLOCK_AT, SUPERBLOCK_BYTES)
    return bytes.readUInt16LE(MAGIC_AT) === MAGIC && bytes.readUInt32LE(0x18) <= 6 && bytes.readUInt32LE(0x4c) <= 1
  },

  async unused(volume) {
    const sb = await readSuperblock(volume)
    const groups = await Groups.read(volume, sb)
    const claims = new Claims(sb)
    claims.tables(groups)
    await claimMultiMountBlock(volume, sb, claims)
    const tables = Uint32Array.from({ length: sb.groups }, (_, index) => claims.needed.count(index))
    await claimInodes(volume, sb, groups, claims)
    noteTableRemains(sb, groups, claims)
    await checkBlockBitmaps(volume, sb, groups, claims, tables)
    return unusedOf(sb, claims)
  }
}

/** The block in which hosts that share a disk say that they have mounted it. */
async function claimMultiMountBlock(volume: Volume, sb: Superblock, claims: Claims): Promise<void> {
  if (sb.mmpBlock === 0) return
  claims.table(sb.mmpBlock, 1)
  const block = await volume.read(sb.mmpBlock * sb.blockBytes, 8)
  if (block.readUInt32LE(0) !== MMP_MAGIC || block.readUInt32LE(4) !== MMP_CLEAN) {
    throw new Refused('mounted', 'another host has mounted it')
  }
}

function unusedOf(sb: Superblock, claims: Claims): Unused {
  const nothing = new Uint8Array(sb.groupBlocks / sb.clusterBlocks / 8).fill(0xff)
  const ranges = clear(sb, (group) => {
    const unwritten = claims.unwritten.page(group)
    return claims.needed.page(group)?.map((byte, i) => byte & ~(unwritten?.[i] ?? 0))
  })
  const unwritten = clear(sb, (group) => claims.unwritten.page(group)?.map((byte) => ~byte) ?? nothing)
  return { ranges, unwritten, remains: claims.remains.build(), length: sb.blocks * sb.blockBytes }
}

/** @param pageOf a bit for each cluster of a group; undefined where all are clear */
function clear(sb: Superblock, pageOf: (group: number) => Uint8Array | undefined): ByteRanges {
  const ranges = new RangesBuilder()
  for (let group = 0; group < sb.groups; group += 1) {
    const start = groupStart(sb, group)
    for (const { offset, length } of clearRuns(pageOf(group), clustersOf(sb, group))) {
      const first = start + offset * sb.clusterBlocks
      const end = Math.min(sb.blocks, first + length * sb.clusterBlocks)
      ranges.add(first * sb.blockBytes, (end - first) * sb.blockBytes)
    }
  }
  return ranges.build()
}

/** Tables have parts that are never read, and nobody has cleared when the file system was made. */
function noteTableRemains(sb: Superblock, groups: Groups, claims: Claims): void {
  for (let index = 0; index < sb.groups; index += 1) {
    for (const { offset, length } of headRemains(sb, index)) claims.noteRemains(offset, length)
    const { blocksUnused, blockBitmap, inodesUnused, inodeBitmap } = groups.get(index)
    if (blocksUnused) claims.noteRemains(blockBitmap * sb.blockBytes, sb.blockBytes)
    if (inodesUnused) claims.noteRemains(inodeBitmap * sb.blockBytes, sb.blockBytes)
  }
}
