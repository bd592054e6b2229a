import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import type { BlockVisitor } from './block-map.ts'
import { ext4Crc } from './checksums.ts'
import type { Inode } from './inode.ts'
import type { Superblock } from './superblock.ts'

const MAGIC = 0xf30a
const ENTRY_BYTES = 12
/** ext4's own limit: so deep is the tree of the largest file. */
const MAX_DEPTH = 5
/** Lengths above it are of blocks that were allocated but not written to. */
const MAX_WRITTEN = 32768
/** Logical blocks are numbered by 32 bits. */
const END = 2 ** 32

/** The logical blocks that a node may speak of. */
type Bounds = { readonly from: number; readonly to: number }

/**
 * Shows all blocks of a file that is mapped by extents, and those of the tree itself. Throws Refused.
 * @see https://docs.kernel.org/filesystems/ext4/ifork.html#extent-tree
 */
export async function visitExtents(volume: Volume, sb: Superblock, inode: Inode, visitor: BlockVisitor): Promise<void> {
  const walk = async (node: Buffer, depth: number, bounds: Bounds): Promise<void> => {
    const count = entriesOf(node, depth)
    let at = bounds.from
    for (let i = 1; i <= count; i += 1) {
      const entry = node.subarray(i * ENTRY_BYTES, (i + 1) * ENTRY_BYTES)
      const first = entry.readUInt32LE(0)
      if (first < at || first >= bounds.to) throw new Refused('extent-order', "a file's extents are out of order")
      if (depth === 0) {
        at = first + visitExtent(visitor, first, entry)
        if (at > bounds.to) throw new Refused('extent-order', "a file's extents overlap")
      } else {
        const to = i < count ? node.readUInt32LE((i + 1) * ENTRY_BYTES) : bounds.to
        const block = entry.readUInt32LE(4) + entry.readUInt16LE(8) * 2 ** 32
        visitor.tree(block)
        const child = await volume.read(block * sb.blockBytes, sb.blockBytes)
        await walk(checkedBlock(child, sb, inode), depth - 1, { from: first, to })
        at = first + 1
      }
    }
  }
  const depth = inode.pointers.readUInt16LE(6)
  if (depth > MAX_DEPTH) throw new Refused('extent-depth', "a file's extent tree is too deep")
  await walk(inode.pointers, depth, { from: 0, to: END })
}

/** How many entries a node has. */
function entriesOf(node: Buffer, depth: number): number {
  const [magic, count, most] = [node.readUInt16LE(0), node.readUInt16LE(2), node.readUInt16LE(4)]
  const room = Math.floor(node.length / ENTRY_BYTES) - 1
  if (magic !== MAGIC || count > most || most > room || node.readUInt16LE(6) !== depth) {
    throw new Refused('extent-header', "a file's extent tree is broken")
  }
  return count
}

/** Gives the extent's length in blocks. */
function visitExtent(visitor: BlockVisitor, first: number, entry: Buffer): number {
  const stated = entry.readUInt16LE(4)
  const written = stated <= MAX_WRITTEN
  const length = written ? stated : stated - MAX_WRITTEN
  visitor.run(first, entry.readUInt16LE(6) * 2 ** 32 + entry.readUInt32LE(8), length, written)
  return length
}

/** The checksum stands behind the last entry that there is room for. */
function checkedBlock(block: Buffer, sb: Superblock, inode: Inode): Buffer {
  const end = ENTRY_BYTES * (block.readUInt16LE(4) + 1)
  if (sb.features.metadataCsum) {
    if (end + 4 > block.length) throw new Refused('extent-header', "a file's extent tree is broken")
    if (ext4Crc(inode.seed, block.subarray(0, end)) !== block.readUInt32LE(end)) {
      throw new Refused('checksum', "an extent block's checksum is wrong")
    }
  }
  return block
}
