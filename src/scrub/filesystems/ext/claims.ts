import { Refused } from '../../refused.ts'
import { Remains } from '../remains.ts'
import { UnitSet } from '../unit-set.ts'
import type { Groups } from './groups.ts'
import { inodeTableBlocks } from './groups.ts'
import { groupHead } from './layout.ts'
import type { Superblock } from './superblock.ts'

/** Some 50 MiB of memory. */
const MAX_ATTRIBUTE_BLOCKS = 2 ** 20

/** Whoever claims blocks. Runs of one file may meet in one cluster, so it remembers its last. */
export type Claimant = { lastCluster: number }

/**
 * Every block that something needs, in clusters, and which of them hold nothing yet. Each has one owner: so a block that is
 * named twice is found, and so is any loop, before the memory or the time runs out.
 */
export class Claims {
  readonly #sb: Superblock
  /** A page for each group. */
  readonly needed: UnitSet
  /** Of these the blocks that were allocated ahead: they read as zeros, whatever stands there. */
  readonly unwritten: UnitSet
  /** Pieces of claimed blocks that nobody needs. */
  readonly remains = new Remains()
  readonly #attributes = new Set<number>()

  constructor(sb: Superblock) {
    const pageClusters = sb.groupBlocks / sb.clusterBlocks
    this.#sb = sb
    this.needed = new UnitSet(sb.groups * pageClusters, pageClusters)
    this.unwritten = new UnitSet(sb.groups * pageClusters, pageClusters)
  }

  /** Blocks of a file or its tables. */
  file(owner: Claimant, block: number, count: number): void {
    let { first, last } = this.#clusters(block, count)
    if (this.#sb.clusterBlocks > 1 && first === owner.lastCluster) first += 1
    owner.lastCluster = last
    if (!this.needed.add(first, last + 1 - first)) throw new Refused('block-shared', 'a block of it has two owners')
  }

  /** Blocks of a file that nobody has written to; they are claimed besides. Clusters are left as they are. */
  noteUnwritten(block: number, count: number): void {
    if (this.#sb.clusterBlocks === 1) this.unwritten.add(block - this.#sb.firstBlock, count)
  }

  /** A piece of claimed blocks that nobody needs. Where several owners may share a cluster nothing is taken for such. */
  noteRemains(offset: number, length: number): void {
    if (this.#sb.clusterBlocks === 1) this.remains.add(offset, length)
  }

  /** A block of extended attributes, which files may share. */
  attributes(block: number): void {
    if (this.#attributes.has(block)) return
    if (this.#attributes.size === MAX_ATTRIBUTE_BLOCKS) {
      throw new Refused('too-large', 'it has more blocks of attributes than are remembered here')
    }
    this.file({ lastCluster: -1 }, block, 1)
    this.#attributes.add(block)
  }

  /** Superblocks, descriptors, bitmaps and inode tables; with bigalloc, several in a cluster. */
  tables(groups: Groups): void {
    for (let group = 0; group < this.#sb.groups; group += 1) {
      const { blockBitmap, inodeBitmap, inodeTable } = groups.get(group)
      for (const { offset, length } of groupHead(this.#sb, group)) this.table(offset, length)
      this.table(blockBitmap, 1)
      this.table(inodeBitmap, 1)
      this.table(inodeTable, inodeTableBlocks(this.#sb))
    }
  }

  table(block: number, count: number): void {
    const { first, last } = this.#clusters(block, count)
    const fresh = this.needed.add(first, last + 1 - first)
    if (!fresh && this.#sb.clusterBlocks === 1) throw new Refused('block-shared', 'two of its tables lie in one place')
  }

  #clusters(block: number, count: number): { first: number; last: number } {
    const { firstBlock, blocks, clusterBlocks } = this.#sb
    if (!(count > 0) || block < firstBlock || block + count > blocks) {
      throw new Refused('block-outside', 'it names a block outside itself')
    }
    return {
      first: Math.floor((block - firstBlock) / clusterBlocks),
      last: Math.floor((block + count - 1 - firstBlock) / clusterBlocks)
    }
  }
}
