import { open } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { family } from '../../support/process-family.ts'
import { diskAt } from '../../unit/scrub/guest-disk.ts'
import { describeWithTools, tool } from '../../unit/scrub/tools.ts'
import { MINUTE_MS, scratch, scrubOrSkip, sha256 } from './appliance-run.ts'
import { guestfish } from './planted-guest.ts'

const SECTOR = 512
/** First sectors of the partitions: xfs, btrfs, part of a volume group. */
const XFS = 2048
const BTRFS = XFS + (320 * MiB) / SECTOR
const LVM = BTRFS + (128 * MiB) / SECTOR
const END = LVM + (64 * MiB) / SECTOR

async function makeBroken(path: string, elsewhere: string): Promise<void> {
  await tool('truncate', '-s', `${END * SECTOR + 2 * MiB}`, path)
  await tool('truncate', '-s', '64M', elsewhere)
  await guestfish([
    `add-drive ${path} format:raw cachemode:unsafe`,
    `add-drive ${elsewhere} format:raw cachemode:unsafe`,
    'run',
    'part-init /dev/sda gpt',
    `part-add /dev/sda p ${XFS} ${BTRFS - 1}`,
    `part-add /dev/sda p ${BTRFS} ${LVM - 1}`,
    `part-add /dev/sda p ${LVM} ${END - 1}`,
    'mkfs xfs /dev/sda1',
    'mkfs btrfs /dev/sda2',
    'pvcreate /dev/sda3',
    'pvcreate /dev/sdb',
    'vgcreate vg "/dev/sda3 /dev/sdb"',
    'lvcreate root vg 100',
    'mkfs ext4 /dev/vg/root',
    'shutdown'
  ])
  await using disk = await open(path, 'r+')
  // xfs: still a superblock, but of 4 G groups of no blocks. btrfs: still a superblock, and its trees are gone.
  await disk.write(Buffer.from([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), 0, 8, XFS * SECTOR + 84)
  const garbage = Buffer.alloc(4 * MiB, 0x5a)
  for (let at = 4 * MiB; at < 60 * MiB; at += garbage.length) {
    await disk.write(garbage, 0, garbage.length, BTRFS * SECTOR + at)
  }
}

describeWithTools(['guestfish', 'mkfs.xfs', 'setpriv'], 'a guest whose file systems are broken', () => {
  it(
    'is refused with what was found, or leaves as it is, and nothing of it is left running',
    async () => {
      await using place = await scratch()
      const source = place.at('broken.raw')
      await makeBroken(source, place.at('elsewhere.raw'))
      const before = await sha256(source)
      await using disk = await diskAt(source)

      const { disk: result, report } = await scrubOrSkip(disk, place.at('work'))
      await result[Symbol.asyncDispose]()

      expect(report).toMatchObject({ path: 'none', guest: { kind: 'unknown' }, overlayBytes: 0 })
      expect(new Set(report.steps.map(({ skipped }) => skipped))).toEqual(
        new Set(['no system is found on it (no-system)'])
      )
      expect(report.partitions.map(({ fileSystem, freeBytes, why }) => [fileSystem, freeBytes, why])).toEqual([
        ['xfs', 0, expect.any(String)],
        ['btrfs', 0, expect.any(String)],
        ['lvm', 0, expect.any(String)]
      ])
      expect(await sha256(source)).toBe(before)
      expect(family(process.pid).filter(({ commandLine }) => /guestfish|qemu-system/.test(commandLine))).toEqual([])
    },
    10 * MINUTE_MS
  )
})
