import { randomBytes } from 'node:crypto'
import { copyFile, open, readFile, writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { diskAt, writeDisk } from '../../unit/scrub/guest-disk.ts'
import { describeWithTools, standing, tool } from '../../unit/scrub/tools.ts'
import { MINUTE_MS, PARTITION, scratch, scrubOrSkip, sha256 } from './appliance-run.ts'
import { guestfish } from './planted-guest.ts'

const START = MiB
const DELETED = 'PLANTED-deleted-7f1c93d2'
const DELETED_NAME = 'PLANTED-name-7f1c93d2'
const KEPT = 'KEPT-hive-7f1c93d2'

/** An NTFS that looks like Windows, with files that were deleted. */
async function makeWindows(path: string, at: (name: string) => string): Promise<Buffer> {
  const payload = randomBytes(3 * MiB)
  await writeFile(at('payload'), payload)
  await writeFile(at('deleted'), `${DELETED}\n`.repeat(100_000))
  await tool('truncate', '-s', '96M', path)
  await guestfish([
    `add-drive ${path} format:raw cachemode:unsafe`,
    'run',
    ...PARTITION,
    'mkfs ntfs /dev/sda1',
    'mount /dev/sda1 /',
    'mkdir-p /Windows/System32/config',
    `write /Windows/System32/config/SYSTEM ${KEPT}`,
    `upload ${at('payload')} /payload.bin`,
    `upload ${at('deleted')} /${DELETED_NAME}`,
    'sync',
    `rm /${DELETED_NAME}`,
    'umount-all',
    'shutdown'
  ])
  return payload
}

async function scrubbed(path: string, name: string, at: (name: string) => string) {
  await using disk = await diskAt(path)
  const { disk: result, report } = await scrubOrSkip(disk, at(name))
  await using _result = result
  await writeDisk(result, at(`${name}.raw`))
  return report
}

describeWithTools(['guestfish', 'setpriv', 'ntfscat'], 'a guest with Windows', () => {
  it(
    'leaves with its files as they are and without what was deleted, and the report says so',
    async () => {
      await using place = await scratch()
      const source = place.at('windows.raw')
      const payload = await makeWindows(source, place.at)
      const before = await sha256(source)
      const planted = await standing([DELETED, KEPT], source)

      const report = await scrubbed(source, 'scrubbed', place.at)

      expect(planted).toEqual([DELETED, KEPT])
      expect(await standing([DELETED, KEPT], place.at('scrubbed.raw'))).toEqual([KEPT])
      expect(report).toMatchObject({ path: 'appliance', guest: { kind: 'other', name: 'Windows' } })
      expect(new Set(report.steps.map(({ skipped }) => skipped))).toEqual(new Set(['the guest is not Linux']))
      expect(report.partitions).toEqual([
        { offset: START, bytes: expect.any(Number), fileSystem: 'ntfs', freeBytes: expect.any(Number) }
      ])
      expect(report.partitions[0]?.freeBytes).toBeGreaterThan(60 * MiB)
      expect(report.freedBytes).toBeGreaterThan(MiB)
      await tool('dd', `if=${place.at('scrubbed.raw')}`, `of=${place.at('volume')}`, 'bs=1M', 'skip=1', 'conv=sparse')
      await tool('sh', '-c', 'ntfscat "$1" payload.bin >"$2"', 'sh', place.at('volume'), place.at('read'))
      expect((await readFile(place.at('read'))).equals(payload)).toBe(true)
      expect(await sha256(source)).toBe(before)

      // The same where the bitmap says that clusters are free which are not.
      const lying = place.at('lying.raw')
      await copyFile(source, lying)
      await lieInBitmap(lying)
      const distrusted = await scrubbed(lying, 'distrusted', place.at)

      expect(distrusted.partitions).toMatchObject([{ freeBytes: 0, why: expect.stringContaining('(ntfs-not-sound)') }])
      expect(await standing([DELETED, KEPT], place.at('distrusted.raw'))).toEqual([DELETED, KEPT])
      expect((await readFile(place.at('distrusted.raw'))).includes(payload.subarray(MiB, MiB + 4096))).toBe(true)
    },
    10 * MINUTE_MS
  )
})

/** Says of its first clusters, in which its own tables lie, that nobody uses them. See ntfs-3g, layout.h: MFT record 6. */
async function lieInBitmap(path: string): Promise<void> {
  await using disk = await open(path, 'r+')
  const boot = Buffer.alloc(512)
  await disk.read(boot, 0, 512, START)
  const clusterBytes = boot.readUInt16LE(0x0b) * boot.readUInt8(0x0d)
  const record = Buffer.alloc(1024)
  await disk.read(record, 0, 1024, START + Number(boot.readBigUInt64LE(0x30)) * clusterBytes + 6 * 1024)
  let at = record.readUInt16LE(0x14)
  while (record.readUInt32LE(at) !== 0x80) at += record.readUInt32LE(at + 4)
  const runs = at + record.readUInt16LE(at + 0x20)
  const sizes = record.readUInt8(runs)
  const cluster = record.readUIntLE(runs + 1 + (sizes & 0xf), sizes >> 4)
  await disk.write(Buffer.alloc(16), 0, 16, START + cluster * clusterBytes)
}
