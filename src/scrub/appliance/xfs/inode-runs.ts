import { broken, type XfsVolume } from './volume.ts'

const CHUNK_INODES = 64
/** As many inodes are there, or not, together. */
const TOGETHER = 4
const NO_BLOCK = 0xffffffff
/** The root of the tree, in the third sector of its group. */
const ROOT_AT = 20
const LEVELS_AT = 24

/** Inodes one after the other. */
export type InodeRun = {
  /** Byte of the file system. */
  readonly offset: number
  /** Of each of them. */
  readonly free: readonly boolean[]
}

/**
 * All inodes of a group, by its tree of them.
 * @throws Refused
 * @see https://www.kernel.org/pub/linux/utils/fs/xfs/docs/xfs_filesystem_structure.pdf, "Inode B+trees"
 */
export async function* inodeRuns(volume: XfsVolume, group: number): AsyncGenerator<InodeRun> {
  const { sectorBytes, blockBytes, inodeBytes, hasSums, hasSparseInodes } = volume.geometry
  const start = volume.byteIn(group, 0)
  const head = await volume.read(start + 2 * sectorBytes, sectorBytes)
  if (head.toString('latin1', 0, 4) !== 'XAGI') throw broken()
  const headBytes = hasSums ? 56 : 16
  const pointersAt = headBytes + Math.floor((blockBytes - headBytes) / 8) * 4

  let block = head.readUInt32BE(ROOT_AT)
  for (let levels = head.readUInt32BE(LEVELS_AT); levels > 1; levels -= 1) {
    block = (await volume.read(volume.byteIn(group, block), blockBytes)).readUInt32BE(pointersAt)
  }
  while (block !== NO_BLOCK) {
    const leaf = await volume.read(volume.byteIn(group, block), blockBytes)
    const records = leaf.readUInt16BE(6)
    const isLeaf = leaf.toString('latin1', 0, 4) === (hasSums ? 'IAB3' : 'IABT') && leaf.readUInt16BE(4) === 0
    if (!isLeaf || headBytes + records * 16 > blockBytes) throw broken()
    for (let at = headBytes; at < headBytes + records * 16; at += 16) {
      const holes = hasSparseInodes ? leaf.readUInt16BE(at + 4) : 0
      const chunkAt = start + leaf.readUInt32BE(at) * inodeBytes
      for (const { from, free } of runsIn(holes, leaf.readBigUInt64BE(at + 8))) {
        yield { offset: chunkAt + from * inodeBytes, free }
      }
    }
    block = leaf.readUInt32BE(12)
  }
}

/** A chunk without its holes: what lies in them is something else. */
function* runsIn(holes: number, freeBits: bigint) {
  let free: boolean[] = []
  for (let i = 0; i < CHUNK_INODES; i += 1) {
    const isHole = ((holes >> Math.floor(i / TOGETHER)) & 1) === 1
    if (!isHole) free.push(((freeBits >> BigInt(i)) & 1n) === 1n)
    if (free.length === 0 || !(isHole || i === CHUNK_INODES - 1)) continue
    yield { from: (isHole ? i : CHUNK_INODES) - free.length, free }
    free = []
  }
}
