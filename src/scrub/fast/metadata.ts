import type { Range } from '../../disks/disk.ts'
import { GiB, KiB, MiB } from '../../domain/bytes.ts'
import { type Group, Groups, inodeTableBlocks } from '../filesystems/ext/groups.ts'
import { type Inode, inodeOf, isIntact } from '../filesystems/ext/inode.ts'
import { hasBlocks, inodeBitmap, isSet, RESIZE_INODE, refuseLiving, visitBlocks } from '../filesystems/ext/inodes.ts'
import { groupHead } from '../filesystems/ext/layout.ts'
import type { Superblock } from '../filesystems/ext/superblock.ts'
import { UnitSet } from '../filesystems/unit-set.ts'
import { isZero } from '../is-zero.ts'
import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'

const CHUNK_BYTES = MiB
/** Folders are small and lie all over the disk: most of the time is waiting. */
const AT_ONCE = 16
/** Of an inode table at a time; a multiple of any inode. */
const SLICE_BYTES = 256 * KiB
const MAX_BYTES = 4 * GiB
const DOUBLE_AT = 13 * 4

/** Takes bytes of the volume in any order, several at once. `cleaned` when they are not as they were read. */
type Sink = (offset: number, bytes: Buffer, cleaned: boolean) => Promise<void>

/**
 * All of an ext file system but what its files hold: tables, folders, long links, attributes, and the blocks that say where
 * others lie. Inodes that are free are given as zeros: what was deleted leaves its attributes and short links there. What is
 * known to be zeros is left out.
 *
 * Throws Refused where an inode that lives is marked as free, or a block has two owners, so it ends on any file system.
 * @param idle whether a part of an inode table without an inode in use is of no interest; bytes of the volume
 */
export async function eachMetadata(
  volume: Volume,
  sb: Superblock,
  idle: (offset: number, length: number) => boolean,
  sink: Sink
): Promise<void> {
  const walk = new Walk(volume, sb, idle, sink)
  const groups = await Groups.read(volume, sb)
  for (let index = 0; index < sb.groups; index += 1) {
    const group = groups.get(index)
    for (const { offset, length } of groupHead(sb, index)) walk.want(offset, length)
    walk.want(group.blockBitmap, 1)
    walk.want(group.inodeBitmap, 1)
  }
  for (let index = 0; index < sb.groups; index += 1) await walk.inodes(groups.get(index), index)
  await walk.giveWanted()
}

class Walk {
  readonly #volume: Volume
  readonly #sb: Superblock
  readonly #idle: (offset: number, length: number) => boolean
  readonly #sink: Sink
  readonly #seen: UnitSet
  readonly #attributes = new Set<number>()
  readonly #wanted: { readonly block: number; readonly count: number }[] = []
  #bytes = 0

  constructor(volume: Volume, sb: Superblock, idle: (offset: number, length: number) => boolean, sink: Sink) {
    this.#volume = volume
    this.#sb = sb
    this.#idle = idle
    this.#sink = sink
    this.#seen = new UnitSet(sb.groups * sb.groupBlocks, sb.groupBlocks)
  }

  /** They are given later, neighbours at once. */
  want(block: number, count: number): void {
    this.#wanted.push({ block, count })
    this.#count(count * this.#sb.blockBytes)
  }

  async giveWanted(): Promise<void> {
    const chunks = [...this.#chunks()]
    for (let at = 0; at < chunks.length; at += AT_ONCE) {
      await Promise.all(chunks.slice(at, at + AT_ONCE).map((chunk) => this.#give(chunk)))
    }
  }

  async inodes(group: Group, index: number): Promise<void> {
    const { groupInodes, inodeBytes, blockBytes } = this.#sb
    const used = await inodeBitmap(this.#volume, this.#sb, group)
    const start = group.inodeTable * blockBytes
    const all = inodeTableBlocks(this.#sb) * blockBytes
    for (let at = 0; at < all; at += SLICE_BYTES) {
      const length = Math.min(SLICE_BYTES, all - at)
      const bits = used.subarray(Math.floor(at / inodeBytes / 8), Math.ceil((at + length) / inodeBytes / 8))
      if (this.#idle(start + at, length) && isZero(bits)) continue
      const slice = await this.#volume.read(start + at, length)
      const living: Buffer[] = []
      let cleaned = false
      const empty = isZero(slice)
      for (let from = 0; !empty && from + inodeBytes <= length; from += inodeBytes) {
        const slot = (at + from) / inodeBytes
        const bytes = slice.subarray(from, from + inodeBytes)
        if (slot < groupInodes && isSet(used, slot)) living.push(bytes)
        else if (!isZero(bytes)) {
          if (slot < groupInodes) refuseLiving(bytes, index * groupInodes + slot + 1, slot, group, this.#sb)
          bytes.fill(0)
          cleaned = true
        }
      }
      this.#count(length)
      await this.#sink(start + at, slice, cleaned)
      for (const bytes of living) {
        const slot = (at + bytes.byteOffset - slice.byteOffset) / inodeBytes
        await this.#inode(bytes, index * groupInodes + slot + 1)
      }
    }
  }

  async #inode(bytes: Buffer, number: number): Promise<void> {
    if (isZero(bytes)) return
    if (!isIntact(bytes, number, this.#sb)) throw new Refused('checksum', "an inode's checksum is wrong")
    const inode = inodeOf(bytes, number, this.#sb)
    if (inode.attributes !== 0 && !this.#attributes.has(inode.attributes)) {
      this.#attributes.add(inode.attributes)
      this.#claim(inode.attributes, 1)
    }
    if (!hasBlocks(inode)) return
    if (number === RESIZE_INODE) {
      const block = inode.pointers.readUInt32LE(DOUBLE_AT)
      if (block !== 0) this.#claim(block, 1)
      return
    }
    await this.#claimRuns(inode)
  }

  /** The blocks that are metadata of a file, folder or link. */
  async #claimRuns(inode: Inode): Promise<void> {
    const { journalInode, orphanInode, firstInode } = this.#sb
    const { number, kind } = inode
    const whole = kind === 'folder' || kind === 'link' || number === orphanInode
    const own = number < firstInode && number !== journalInode
    let blocks = 0
    await visitBlocks(this.#volume, this.#sb, inode, {
      tree: (block) => this.#claim(block, 1),
      run: (at, block, count) => {
        blocks += count
        if (blocks > this.#sb.blocks) throw new Refused('block-shared', 'a block of it has two owners')
        if (whole || own) this.#claim(block, count)
        else if (number === journalInode && at === 0) this.#claim(block, 1)
      }
    })
  }

  #claim(block: number, count: number): void {
    const { firstBlock, blocks } = this.#sb
    if (!(count > 0) || block < firstBlock || block + count > blocks) {
      throw new Refused('block-outside', 'it names a block outside itself')
    }
    if (!this.#seen.add(block - firstBlock, count)) {
      throw new Refused('block-shared', 'a block of it has two owners')
    }
    this.want(block, count)
  }

  async #give({ offset, length }: Range): Promise<void> {
    if (!this.#volume.isZero(offset, length)) await this.#sink(offset, await this.#volume.read(offset, length), false)
  }

  /** What is wanted, in its order and each byte once. */
  *#chunks(): Generator<Range, void> {
    const { blockBytes } = this.#sb
    let from = 0
    let to = 0
    const end = { block: Infinity, count: 0 }
    for (const { block, count } of [...this.#wanted.toSorted((a, b) => a.block - b.block), end]) {
      if (block > to) {
        for (let at = from * blockBytes; at < to * blockBytes; at += CHUNK_BYTES) {
          yield { offset: at, length: Math.min(CHUNK_BYTES, to * blockBytes - at) }
        }
        from = block
      }
      to = Math.max(to, block + count)
    }
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > MAX_BYTES) throw new Refused('too-large', 'it has more tables and folders than are read here')
  }
}
