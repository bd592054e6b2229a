import type { Range } from '../../../disks/disk.ts'
import { SUPERBLOCK_AT, SUPERBLOCK_BYTES, type Superblock } from './superblock.ts'

/** First block of a group. */
export const groupStart = (sb: Superblock, group: number): number => sb.firstBlock + group * sb.groupBlocks

/** Groups with a copy of the superblock. */
function hasSuperblock({ features, backupGroups }: Superblock, group: number): boolean {
  if (group === 0) return true
  if (features.backups === 'two') return backupGroups.includes(group)
  return features.backups === 'all' || group === 1 || [3, 5, 7].some((base) => isPowerOf(base, group))
}

/** With 1 KiB blocks and clusters the numbering starts at 0, but the superblock still lies in block 1. */
const superblockOf = (sb: Superblock, group: number): number =>
  groupStart(sb, group) + (group === 0 && sb.firstBlock === 0 && sb.blockBytes === 1024 ? 1 : 0)

/** Descriptors are so many blocks long, all of them. */
export const descriptorBlocks = (sb: Superblock): number => Math.ceil((sb.groups * sb.descriptorBytes) / sb.blockBytes)

/** The block with the `index`th of the blocks of descriptors: behind the superblock, or in the first group it speaks of. */
export function descriptorBlock(sb: Superblock, index: number): number {
  if (!sb.features.metaBg || index < sb.firstMetaGroup) return superblockOf(sb, 0) + 1 + index
  const group = index * (sb.blockBytes / sb.descriptorBytes)
  return superblockOf(sb, group) + (hasSuperblock(sb, group) ? 1 : 0)
}

/**
 * What a group begins with: a superblock and descriptors, where it has them.
 * @see https://docs.kernel.org/filesystems/ext4/overview.html#meta-block-groups
 */
export function* groupHead(sb: Superblock, group: number): Generator<Range, void> {
  const superblock = superblockOf(sb, group)
  const backup = hasSuperblock(sb, group)
  if (backup) yield { offset: superblock, length: 1 }
  const perBlock = sb.blockBytes / sb.descriptorBytes
  const metaGroup = Math.floor(group / perBlock)
  if (sb.features.metaBg && metaGroup >= sb.firstMetaGroup) {
    const place = group % perBlock
    if (place < 2 || place === perBlock - 1) yield { offset: superblock + (backup ? 1 : 0), length: 1 }
  } else if (backup) {
    const old = sb.features.metaBg ? sb.firstMetaGroup : descriptorBlocks(sb)
    if (old + sb.reservedDescriptorBlocks > 0) {
      yield { offset: superblock + 1, length: old + sb.reservedDescriptorBlocks }
    }
  }
}

/**
 * Bytes of a group's head that hold nothing: what follows a superblock in its block, and, but in the first group, the blocks
 * kept for more descriptors. What stands before the first superblock is a boot loader's.
 */
export function* headRemains(sb: Superblock, group: number): Generator<Range, void> {
  if (!hasSuperblock(sb, group)) return
  const { blockBytes, reservedDescriptorBlocks: reserved } = sb
  const block = superblockOf(sb, group)
  const end = (group === 0 && block === 0 ? SUPERBLOCK_AT : 0) + SUPERBLOCK_BYTES
  if (end < blockBytes) yield { offset: block * blockBytes + end, length: blockBytes - end }
  if (group > 0 && !sb.features.metaBg && reserved > 0) {
    yield { offset: (block + 1 + descriptorBlocks(sb)) * blockBytes, length: reserved * blockBytes }
  }
}

function isPowerOf(base: number, value: number): boolean {
  let power = base
  while (power < value) power *= base
  return power === value
}
