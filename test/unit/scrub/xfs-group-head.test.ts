import { describe, expect, it } from 'vitest'
import type { Range } from '../../../src/disks/disk.ts'
import { eraseSpares } from '../../../src/scrub/appliance/xfs/group-head.ts'
import { XfsVolume } from '../../../src/scrub/appliance/xfs/volume.ts'

const BLOCK = 4096
const SECTOR = 512
const GROUP_BLOCKS = 64
const GROUPS = 2

describe('spare blocks of xfs', () => {
  it('become zeros, also where their list goes round, in every group, with what is behind its head', async () => {
    const erased = await erasedOf(tinyXfs())

    const expected = [
      [4 * SECTOR, BLOCK - 4 * SECTOR],
      [7 * BLOCK, BLOCK],
      [9 * BLOCK, BLOCK],
      [11 * BLOCK, BLOCK]
    ] as const
    const group = GROUP_BLOCKS * BLOCK
    const inGroup = (start: number) => expected.map(([at, length]) => ({ offset: start + at, length }))
    expect(erased).toEqual([...inGroup(0), ...inGroup(group)])
  })

  it.each([
    ['a block outside its group', 3 * SECTOR + 36 + 118 * 4, GROUP_BLOCKS],
    ['a first place outside the list', SECTOR + 40, 119],
    ['more of them than the list can hold', SECTOR + 48, 120],
    ['no head', SECTOR, 0],
    ['a million groups', 88, 2_000_000]
  ])('are refused with %s', async (_name, at, value) => {
    const xfs = tinyXfs()
    xfs.writeUInt32BE(value, at)

    await expect(erasedOf(xfs)).rejects.toMatchObject({ name: 'Refused', rule: 'xfs' })
  })
})

async function erasedOf(bytes: Buffer): Promise<readonly Range[]> {
  const erased: Range[] = []
  const device = {
    virtualSize: bytes.length,
    async read(target: Uint8Array, offset: number) {
      bytes.copy(target, 0, offset)
    },
    async write() {},
    async erase(ranges: readonly Range[]) {
      erased.push(...ranges)
    },
    async flush() {}
  }
  const volume = await XfsVolume.open(device, new AbortController().signal)
  for (let group = 0; group < GROUPS; group += 1) await eraseSpares(volume, group)
  return erased
}

/** Groups with three spare blocks each, the list of which begins at its last place. */
function tinyXfs(): Buffer {
  const bytes = Buffer.alloc(GROUPS * GROUP_BLOCKS * BLOCK)
  bytes.write('XFSB')
  bytes.writeUInt32BE(BLOCK, 4)
  bytes.writeUInt32BE(GROUP_BLOCKS, 84)
  bytes.writeUInt32BE(GROUPS, 88)
  bytes.writeUInt16BE(5, 100)
  bytes.writeUInt16BE(SECTOR, 102)
  bytes.writeUInt16BE(512, 104)
  for (const group of [0, GROUP_BLOCKS * BLOCK]) {
    bytes.write('XAGF', group + SECTOR)
    bytes.writeUInt32BE(118, group + SECTOR + 40)
    bytes.writeUInt32BE(3, group + SECTOR + 48)
    const list = group + 3 * SECTOR + 36
    for (const [place, block] of [
      [118, 7],
      [0, 9],
      [1, 11]
    ] as const)
      bytes.writeUInt32BE(block, list + place * 4)
  }
  return bytes
}
