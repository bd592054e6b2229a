import type { Served } from '../nbd/transmission.ts'
import { Refused } from '../refused.ts'

/** Of an allocation group's first sectors: superblock, free space, inodes, spare blocks. */
const HEAD_SECTORS = 4
const MAX_GROUPS = 1_000_000

type Geometry = {
  readonly blockBytes: number
  readonly sectorBytes: number
  readonly groups: number
  readonly groupBlocks: number
  /** Version 5 has a head before the list. */
  readonly listAt: number
}

/**
 * Makes zeros of the blocks that allocation groups hold ready for their own trees. They are in no list of free space, so
 * nothing trims them, and what was in them when they were freed is still there.
 * @param disk an xfs that its own tools have found sound
 * @see https://www.kernel.org/pub/linux/utils/fs/xfs/docs/xfs_filesystem_structure.pdf, "AG Free List"
 */
export async function eraseSpares(disk: Pick<Served, 'read' | 'zero'>): Promise<void> {
  const superblock = Buffer.alloc(512)
  await disk.read(superblock, 0)
  const geometry = geometryOf(superblock)
  const head = Buffer.alloc(HEAD_SECTORS * geometry.sectorBytes)
  for (let group = 0; group < geometry.groups; group += 1) {
    await disk.read(head, group * geometry.groupBlocks * geometry.blockBytes)
    for (const block of spares(geometry, head)) {
      await disk.zero((group * geometry.groupBlocks + block) * geometry.blockBytes, geometry.blockBytes)
    }
  }
}

function geometryOf(superblock: Buffer): Geometry {
  const sectorBytes = superblock.readUInt16BE(102)
  const groups = superblock.readUInt32BE(88)
  const sound = superblock.toString('latin1', 0, 4) === 'XFSB' && sectorBytes >= 512 && sectorBytes <= 32768
  if (!sound || groups > MAX_GROUPS) throw new Refused('xfs', 'its xfs is not of a kind that is known')
  return {
    blockBytes: superblock.readUInt32BE(4),
    sectorBytes,
    groups,
    groupBlocks: superblock.readUInt32BE(84),
    listAt: (superblock.readUInt16BE(100) & 0xf) >= 5 ? 36 : 0
  }
}

/** The list goes round: `count` numbers from the `first` place on. */
function spares({ sectorBytes, groupBlocks, listAt }: Geometry, head: Buffer): number[] {
  const free = head.subarray(sectorBytes, 2 * sectorBytes)
  const list = head.subarray(3 * sectorBytes + listAt, 4 * sectorBytes)
  const places = Math.floor(list.length / 4)
  const first = free.readUInt32BE(40)
  const count = free.readUInt32BE(48)
  const possible = free.toString('latin1', 0, 4) === 'XAGF' && first < places && count <= places
  const blocks = Array.from({ length: Math.min(count, places) }, (_, i) =>
    list.readUInt32BE(((first + i) % places) * 4)
  )
  if (!possible || blocks.some((block) => block >= groupBlocks)) {
    throw new Refused('xfs', 'a list of blocks in its xfs cannot be')
  }
  return blocks
}
