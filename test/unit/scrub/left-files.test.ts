import { expect, it } from 'vitest'
import { leftFiles } from '../../../src/scrub/appliance/left-files.ts'
import { LEFT } from '../../../src/scrub/left.ts'
import { fakeFish } from '../../support/fake-fish.ts'

const PARTS =
  '[0] = {\\n  part_num: 1\\n  part_start: 1048576\\n}\\n[1] = {\\n  part_num: 2\\n  part_start: 9437184\\n}'
const subvolume = (id: number, path: string) =>
  `  btrfssubvolume_id: ${id}\\n  btrfssubvolume_top_level_id: 5\\n  btrfssubvolume_path: ${path}\\n`
/** Two partitions, the second of them a part of an array; the default subvolume of its btrfs has the number that is given. */
const cases = (byDefault: number) => `
    -part-list*) printf '${PARTS}\\n' ;;
    -vfs-type*sda2*) echo linux_raid_member ;;
    btrfs-subvolume-get-default*) echo ${byDefault} ;;
    btrfs-subvolume-list*) printf '${subvolume(256, '@')}${subvolume(257, '@old')}' ;;`

const EXT = { name: '/dev/sda1', type: 'ext4' }
const BTRFS = { name: '/dev/md0', type: 'btrfs' }
const inside = (path: string) => ({ name: `btrfsvol:/dev/md0/${path}`, type: 'btrfs' })
const SUBVOLUMES = [inside('@'), inside('@/var/lib/machines'), inside('@old')]
const WHOLE_DISK = { name: '/dev/sda', type: 'unknown' }

it.each([
  ['nothing where all is mounted', [EXT], [EXT], 5, []],
  ['what fstab does not mount', [EXT, BTRFS], [BTRFS], 5, [[1048576, LEFT.unmounted]]],
  ['what lies in an array', [EXT, BTRFS], [EXT], 5, [[9437184, LEFT.volume]]],
  ['nothing below the whole of a btrfs', [BTRFS, ...SUBVOLUMES], [BTRFS], 5, []],
  [
    'subvolumes beside the one that is mounted by default',
    [BTRFS, ...SUBVOLUMES],
    [BTRFS],
    256,
    [[9437184, LEFT.subvolume]]
  ],
  ['nothing where each is mounted, or inside of one', [BTRFS, ...SUBVOLUMES], [inside('@'), inside('@old')], 5, []],
  ['FAT', [EXT, { name: '/dev/sda1', type: 'vfat' }], [EXT], 5, [[1048576, LEFT.fat]]],
  ['other kinds', [{ name: '/dev/sda1', type: 'f2fs' }, BTRFS], [BTRFS], 5, [[1048576, LEFT.unchanged]]],
  ['no swap, and nothing of what holds nothing', [EXT, { name: '/dev/md0', type: 'swap' }, WHOLE_DISK], [EXT], 5, []]
])('the appliance leaves %s', async (_what, all, mounted, byDefault, left) => {
  await using appliance = await fakeFish(cases(byDefault))

  expect([...(await leftFiles(appliance.fish, all, mounted))]).toEqual(left)
})
