import { extentRecords, type Fork, treeRoot } from './inode.ts'
import { broken, type XfsVolume } from './volume.ts'

const NO_BLOCK = 0xffff_ffff_ffff_ffffn
const RECORD_BYTES = 16

type Extent = {
  /** Blocks from the file's start. */
  readonly from: number
  readonly blocks: number
  /** Byte of the file system. */
  readonly offset: number
  /** Allocated and never written: it reads as zeros, and holds what was on the disk before. */
  readonly unwritten: boolean
}

/**
 * Where a fork's blocks are, in their order.
 * @throws Refused
 * @see https://www.kernel.org/pub/linux/utils/fs/xfs/docs/xfs_filesystem_structure.pdf, "Data Extents"
 */
export async function* extentsOf(volume: XfsVolume, fork: Fork): AsyncGenerator<Extent> {
  const here = extentRecords(fork)
  if (here) return yield* extentsIn(volume, here)

  const { blockBytes, hasSums } = volume.geometry
  const headBytes = hasSums ? 72 : 24
  const pointersAt = headBytes + Math.floor((blockBytes - headBytes) / RECORD_BYTES) * 8
  const { level, first } = treeRoot(fork)
  let block = first
  for (let above = level; above > 1; above -= 1) {
    block = (await volume.read(volume.byteOf(block), blockBytes)).readBigUInt64BE(pointersAt)
  }
  while (block !== NO_BLOCK) {
    const leaf = await volume.read(volume.byteOf(block), blockBytes)
    const end = headBytes + leaf.readUInt16BE(6) * RECORD_BYTES
    const isLeaf = leaf.toString('latin1', 0, 4) === (hasSums ? 'BMA3' : 'BMAP') && leaf.readUInt16BE(4) === 0
    if (!isLeaf || end > blockBytes) throw broken()
    yield* extentsIn(volume, leaf.subarray(headBytes, end))
    block = leaf.readBigUInt64BE(16)
  }
}

/** A record is one number of 128 bits: 1 of a flag, 54, 52 and 21. */
function* extentsIn(volume: XfsVolume, records: Buffer): Generator<Extent> {
  for (let at = 0; at < records.length; at += RECORD_BYTES) {
    const high = records.readBigUInt64BE(at)
    const low = records.readBigUInt64BE(at + 8)
    yield {
      from: Number(BigInt.asUintN(63, high) >> 9n),
      blocks: Number(BigInt.asUintN(21, low)),
      offset: volume.byteOf((BigInt.asUintN(9, high) << 43n) | (low >> 21n)),
      unwritten: high >> 63n === 1n
    }
  }
}
