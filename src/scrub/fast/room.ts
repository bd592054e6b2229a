import { clustersOf } from '../filesystems/ext/block-bitmaps.ts'
import { inodeBitmap, isSet } from '../filesystems/ext/inodes.ts'
import { groupStart } from '../filesystems/ext/layout.ts'
import { clearRuns } from '../filesystems/unit-set.ts'
import { Refused } from '../refused.ts'
import type { ExtVolume } from './ext-volume.ts'

/**
 * Finds free blocks and inodes of a file system that was found to be whole. The bitmaps are left as they are: its own check
 * counts them anew at the end. What was given once is not given again.
 */
export class Room {
  readonly #ext: ExtVolume
  readonly #blocks = new Set<number>()
  readonly #inodes = new Set<number>()

  constructor(ext: ExtVolume) {
    this.#ext = ext
  }

  /** The first of `count` free blocks in a row, always the lowest. Throws Refused when there are none. */
  async blocks(count: number): Promise<number> {
    const { sb, groups } = this.#ext
    for (let index = 0; index < sb.groups; index += 1) {
      const group = groups.get(index)
      // Such a bitmap was never written.
      if (group.blocksUnused) continue
      const bitmap = await this.#ext.block(group.blockBitmap)
      const start = groupStart(sb, index)
      for (const block of this.#blocks) setBit(bitmap, block - start)
      for (const { offset, length } of clearRuns(bitmap, clustersOf(sb, index))) {
        if (length < count) continue
        for (let i = 0; i < count; i += 1) this.#blocks.add(start + offset + i)
        return start + offset
      }
    }
    throw new Refused('no-room', 'it has no room for a file that is to be written')
  }

  /** A free inode, in a part of a table that is in use where there is one. Throws Refused when there is none. */
  async inode(): Promise<number> {
    const number = (await this.#freeInode(true)) ?? (await this.#freeInode(false))
    if (number === undefined) throw new Refused('no-room', 'it has no room for a file that is to be written')
    this.#inodes.add(number)
    return number
  }

  async #freeInode(inUsedPart: boolean): Promise<number | undefined> {
    const { sb, groups, volume } = this.#ext
    for (let index = 0; index < sb.groups; index += 1) {
      const group = groups.get(index)
      if (group.inodesUnused) continue
      const bitmap = await inodeBitmap(volume, sb, group)
      const end = inUsedPart ? sb.groupInodes - group.inodesNeverUsed : sb.groupInodes
      for (let slot = 0; slot < end; slot += 1) {
        const number = index * sb.groupInodes + slot + 1
        if (!isSet(bitmap, slot) && number > sb.firstInode && !this.#inodes.has(number)) return number
      }
    }
    return undefined
  }
}

function setBit(bitmap: Buffer, bit: number): void {
  if (bit >= 0 && bit < bitmap.length * 8) bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (1 << (bit & 7))
}
