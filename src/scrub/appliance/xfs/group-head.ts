import { roundUp } from '../../../domain/bytes.ts'
import { broken, type XfsVolume } from './volume.ts'

/** Of an allocation group's first sectors: superblock, free space, inodes, spare blocks. */
const HEAD_SECTORS = 4

/**
 * Makes zeros of the blocks that a group holds ready for its own trees, and of what stands behind its head. They are in no
 * list of free space, so nothing trims them, and what was in them before is still there.
 * @throws Refused
 * @see https://www.kernel.org/pub/linux/utils/fs/xfs/docs/xfs_filesystem_structure.pdf, "AG Free List"
 */
export async function eraseSpares(volume: XfsVolume, group: number): Promise<void> {
  const { sectorBytes, groupBlocks, blockBytes, hasSums } = volume.geometry
  const start = volume.byteIn(group, 0)
  const head = await volume.read(start, HEAD_SECTORS * sectorBytes)
  const behind = roundUp(head.length, blockBytes) - head.length
  if (behind > 0) await volume.erase(start + head.length, behind)

  const free = head.subarray(sectorBytes, 2 * sectorBytes)
  const list = head.subarray(3 * sectorBytes + (hasSums ? 36 : 0))
  const places = Math.floor(list.length / 4)
  const first = free.readUInt32BE(40)
  const count = free.readUInt32BE(48)
  if (free.toString('latin1', 0, 4) !== 'XAGF' || first >= places || count > places) throw broken()
  // The list goes round: `count` numbers from the `first` place on.
  for (let i = 0; i < count; i += 1) {
    const block = list.readUInt32BE(((first + i) % places) * 4)
    if (block >= groupBlocks) throw broken()
    await volume.erase(volume.byteIn(group, block), blockBytes)
  }
}
