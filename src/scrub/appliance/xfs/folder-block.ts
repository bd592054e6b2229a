import { roundUp } from '../../../domain/bytes.ts'
import { broken, type Geometry } from './volume.ts'

/** The magic numbers of blocks with names: a folder that is one block has an index behind them. */
const KINDS: Readonly<Record<string, { readonly headBytes: number; readonly hasIndex: boolean }>> = {
  XD2B: { headBytes: 16, hasIndex: true },
  XD2D: { headBytes: 16, hasIndex: false },
  XDB3: { headBytes: 64, hasIndex: true },
  XDD3: { headBytes: 64, hasIndex: false }
}
const NOT_USED = 0xffff
const TAG_BYTES = 2

/**
 * Makes zeros of the names that were deleted from a folder's block, and of what stands between those that are there.
 * @throws Refused
 * @see https://www.kernel.org/pub/linux/utils/fs/xfs/docs/xfs_filesystem_structure.pdf, "Block Directories"
 */
export function clearDeleted(block: Buffer, { hasTypes }: Pick<Geometry, 'hasTypes'>): void {
  const kind = KINDS[block.toString('latin1', 0, 4)]
  if (!kind) throw broken()
  const end = kind.hasIndex ? block.length - 8 - 8 * block.readUInt32BE(block.length - 8) : block.length
  if (end < kind.headBytes) throw broken()
  for (let at = kind.headBytes; at < end; ) {
    if (at + 8 > end) throw broken()
    const isUsed = block.readUInt16BE(at) !== NOT_USED
    if (isUsed && at + 16 > end) throw broken()
    // The number of its inode, the length of the name and the name itself; or the mark and its own length.
    const used = isUsed ? 9 + block.readUInt8(at + 8) + (hasTypes ? 1 : 0) : 4
    const length = isUsed ? roundUp(used + TAG_BYTES, 8) : block.readUInt16BE(at + 2)
    if (length < 8 || length % 8 !== 0 || at + length > end) throw broken()
    block.fill(0, at + used, at + length - TAG_BYTES)
    at += length
  }
}
