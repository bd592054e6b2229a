import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk, Range } from '../../../src/disks/disk.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { raw } from '../../../src/disks/raw.ts'
import { TiB } from '../../../src/domain/bytes.ts'
import { SourceReadFailed } from '../../../src/domain/errors.ts'
import { fileSystems } from '../../../src/scrub/filesystems/registry.ts'
import { freeSpace, type GapPolicy } from '../../../src/scrub/free-space.ts'
import { gptAround } from '../../support/gpt.ts'
import { memoryFile, RecordedFile } from '../disks/recorded-file.ts'
import { Workshop } from '../disks/workshop.ts'
import { debugfs, makeExt, SECRET, sampleTree } from './ext-maker.ts'
import { diskAt, diskOf, KEEP_GAPS, scrubFile, search, searchLast } from './guest-disk.ts'
import { stands, tool } from './tools.ts'

const MIB = 2 ** 20
const ZERO_GAPS: GapPolicy = { gaps: 'zero', bootGap: 'zero' }

let workshop: Workshop
/** A file system of 16 MiB. */
let volume: Buffer
beforeAll(async () => {
  workshop = await Workshop.open()
  await sampleTree(workshop)
  volume = await readFile(await makeExt(workshop, 'volume', 16, ['-t', 'ext4', '-b', '1024']))
})
afterAll(() => workshop[Symbol.asyncDispose]())

/** A GPT disk of 32 MiB, full of text, with one partition from 2 to 22 MiB and the file system in its first 16 MiB. */
function guest(): Buffer {
  const bytes = Buffer.alloc(32 * MIB, 'left behind ')
  const { primary, backup } = gptAround(bytes.length / 512, 4096, (20 * MIB) / 512)
  primary.copy(bytes)
  backup.copy(bytes, bytes.length - backup.length)
  volume.copy(bytes, 2 * MIB)
  return bytes
}

describe('a disk with a partition', () => {
  it('loses what its file system does not use, and keeps its gaps', async () => {
    const path = await workshop.write('kept', guest())

    const { extents, report } = await scrubFile(path, `${path}-scrubbed`)

    const [partition] = report.partitions
    expect(report).toMatchObject({ table: 'gpt', trusted: true, gapBytes: 0, notes: [] })
    expect(partition).toMatchObject({ number: 1, name: 'guest', fileSystem: 'ext2/3/4', trusted: true })
    expect(partition?.freeBytes).toBe(extents.bytes)
    const after = await readFile(`${path}-scrubbed`)
    expect(after.includes(SECRET)).toBe(false)
    expect(after.subarray(0, 2 * MIB).equals(guest().subarray(0, 2 * MIB))).toBe(true)
    expect(after.subarray(18 * MIB).equals(guest().subarray(18 * MIB))).toBe(true)
    await expect(tool('e2fsck', '-fn', `${path}-scrubbed?offset=${2 * MIB}`)).resolves.toContain('files')
  })

  it('loses its gaps too where the policy says so, but never its tables', async () => {
    const path = await workshop.write('zeroed', guest())

    const { report } = await scrubFile(path, `${path}-scrubbed`, ZERO_GAPS)

    const after = await readFile(`${path}-scrubbed`)
    expect(after.includes('left behind')).toBe(false)
    const tables = 34 * 512
    expect(after.subarray(0, tables).equals(guest().subarray(0, tables))).toBe(true)
    expect(after.subarray(-33 * 512).equals(guest().subarray(-33 * 512))).toBe(true)
    expect(report.gapBytes).toBe(32 * MIB - 16 * MIB - 67 * 512)
    await using scrubbed = await diskAt(`${path}-scrubbed`)
    expect((await search(scrubbed)).report).toMatchObject({ table: 'gpt', notes: [] })
  })

  it('may keep the gap in front alone, where boot loaders lie', async () => {
    const path = await workshop.write('boot', guest())

    await scrubFile(path, `${path}-scrubbed`, { gaps: 'zero', bootGap: 'keep' })

    const after = await readFile(`${path}-scrubbed`)
    expect(after.subarray(0, 2 * MIB).equals(guest().subarray(0, 2 * MIB))).toBe(true)
    expect(after.subarray(18 * MIB).includes('left behind')).toBe(false)
  })

  it('keeps all of a partition that is not trusted, and says why', async () => {
    const path = await workshop.write('lying', guest())
    await debugfs(workshop, `${path}?offset=${2 * MIB}`, ['setb 15000'])

    await using disk = await diskAt(path)

    const { extents, report } = await search(disk, ZERO_GAPS)

    expect(report.partitions).toMatchObject([{ trusted: false, rule: 'blocks-unreferenced', freeBytes: 0 }])
    expect([...extents.within(2 * MIB, 22 * MIB)]).toEqual([])
    expect(extents.bytes).toBe(report.gapBytes)
  })
})

it('takes a disk that is one file system, with a boot loader in its first sector', async () => {
  const bytes = Buffer.from(volume)
  bytes.set([0xeb, 0x63, 0x90])
  bytes.writeUInt16LE(0xaa55, 510)

  const { report } = await searchLast(bytes)

  expect(report).toMatchObject({ number: 0, start: 0, length: 16 * MIB, fileSystem: 'ext2/3/4', trusted: true })
})

describe('what is not read', () => {
  const KINDS: readonly (readonly [string, number, string])[] = [
    ['xfs', 0, 'XFSB'],
    ['btrfs', 0x10040, '_BHRfS_M'],
    ['lvm', 512, 'LABELONE'],
    ['luks', 0, 'LUKS\xba\xbe'],
    ['bitlocker', 3, '-FVE-FS-'],
    ['ntfs', 3, 'NTFS    '],
    ['exfat', 3, 'EXFAT   '],
    ['f2fs', 0x400, '\x10\x20\xf5\xf2'],
    ['squashfs', 0, 'hsqs'],
    ['apfs', 32, 'NXSB'],
    ['hfs+', 0x400, 'H+\0\x04'],
    ['iso9660', 0x8001, 'CD001'],
    ['zfs', 128 * 1024 + 5 * 1024, '\x0c\xb1\xba\0\0\0\0\0'],
    ['raid', 0, '\xfc\x4e\x2b\xa9'],
    ['raid', 4096, '\xfc\x4e\x2b\xa9'],
    ['raid', 2 * MIB - 8192, '\xfc\x4e\x2b\xa9'],
    ['raid', 2 * MIB - 65536, '\xfc\x4e\x2b\xa9'],
    ['unknown', 0, 'nothing that is known']
  ]

  it.each(KINDS)('is named: %s by its mark at %i', async (name, at, mark) => {
    const bytes = Buffer.alloc(2 * MIB)
    bytes.write(mark, at, 'latin1')

    const { extents, report } = await searchLast(bytes)

    expect(report).toMatchObject({ fileSystem: name, trusted: false, rule: 'not-read', freeBytes: 0 })
    expect(extents.bytes).toBe(0)
  })

  it.each([
    ['another file system', 0x10040, '_BHRfS_M', 'ext2/3/4 + btrfs'],
    ['a swap area', 4086, 'SWAPSPACE2', 'ext2/3/4 + swap'],
    ['a member of an array', 16 * MIB - 8192, '\xfc\x4e\x2b\xa9', 'ext2/3/4 + raid']
  ])('is what looks like a file system and like %s at once', async (_what, at, mark, name) => {
    const bytes = Buffer.from(volume)
    bytes.write(mark, at, 'latin1')

    const { extents, report } = await searchLast(bytes)

    expect(report).toMatchObject({ fileSystem: name, trusted: false, rule: 'several-file-systems' })
    expect(extents.bytes).toBe(0)
  })
})

describe('a sparse disk', () => {
  it('of 4 TiB is searched without reading its holes', async () => {
    const path = workshop.path('vast')
    await tool('truncate', '-s', '4T', path)
    await tool('mke2fs', '-q', '-F', '-t', 'ext4', '-E', 'nodiscard', path)
    const map = JSON.parse(await tool('qemu-img', 'map', '-f', 'raw', '--output=json', path))
    const data: Range[] = map
      .filter((extent: { data: boolean }) => extent.data)
      .map(({ start, length }: { start: number; length: number }) => ({ offset: start, length }))
    const file = new RecordedFile(await openLocalFile(path, data))
    await using disk = await raw.open(file, { maxVirtualSize: 8 * TiB })

    const { extents, report } = await search(disk)

    expect(report.partitions).toMatchObject([{ fileSystem: 'ext2/3/4', trusted: true }])
    const { blockBytes, free } = await headerOf(path)
    expect(extents.bytes).toBe(free * blockBytes)
    expect(extents.count).toBeLessThan(10_000)
    expect(file.reads).toBeLessThan(50_000)
  })
})

describe('what is no fault of the guest', () => {
  it('is thrown: bytes that cannot be read', async () => {
    const disk = await diskOf(volume)
    const failing: Disk = {
      virtualSize: disk.virtualSize,
      extents: () => disk.extents(),
      read: async () => {
        throw new SourceReadFailed('gone')
      },
      async [Symbol.asyncDispose]() {}
    }

    await expect(search(failing)).rejects.toThrow(SourceReadFailed)
  })

  it('is thrown: the reason of a signal', async () => {
    const searching = freeSpace(await diskOf(volume), KEEP_GAPS, fileSystems(), AbortSignal.abort(new Error('enough')))

    await expect(searching).rejects.toThrow('enough')
  })
})

it('reads a small part of the disk only, and no content of files', async () => {
  const file = memoryFile(volume)
  const path = await workshop.write('small', volume)
  expect(await stands('file 100', path)).toBe(true)

  const { report } = await search(
    await (await import('../../../src/disks/raw.ts')).raw.open(file, { maxVirtualSize: 2 ** 40 })
  )

  expect(report.trusted).toBe(true)
  expect(file.reads).toBeLessThan(400)
})

async function headerOf(path: string) {
  const text = await tool('dumpe2fs', '-h', path)
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1])
  return { blockBytes: field('Block size'), free: field('Free blocks') }
}
