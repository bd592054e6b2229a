import { describe, expect, it } from 'vitest'
import { crc32c } from '../../../src/disks/crc32c.ts'
import { openDisk } from '../../../src/disks/inspect.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { guidAt } from '../../../src/disks/vhdx/guid.ts'
import { GiB, KiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from './recorded-file.ts'
import {
  BAT,
  DATA,
  HEADER,
  HEADERS,
  ITEM,
  ITEMS,
  item,
  LOG,
  METADATA,
  PARENT_LOCATOR,
  PRESENT,
  REGION,
  REGION_TABLES,
  SPARE,
  seal,
  tinyVhdx,
  tinyVhdxContent
} from './tiny-vhdx.ts'
import { Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 100 * TiB }
const BEYOND = BigInt(TiB)

const open = (bytes: Buffer) => openDisk(memoryFile(bytes), 'vhdx', LIMITS, diskReaders())

/** The rule that refuses the image when it is opened or read, or undefined. */
async function refusal(bytes: Buffer): Promise<unknown> {
  try {
    const disk = await open(bytes)
    await disk.read(Buffer.alloc(3 * MiB), 0)
    return undefined
  } catch (error) {
    return error
  }
}

type Change = (file: Buffer) => unknown
type Break = [rule: string, what: string, how: Change]

const short = (at: number, value: number) => (file: Buffer) => file.writeUInt16LE(value, at)
const word = (at: number, value: number) => (file: Buffer) => file.writeUInt32LE(value, at)
const long = (at: number, value: bigint) => (file: Buffer) => file.writeBigUInt64LE(value, at)
const entry = (index: number, value: bigint) => long(BAT + index * 8, value)
const present = (index: number, offset: number) => entry(index, BigInt(offset) | PRESENT)
const all =
  (...changes: readonly Change[]) =>
  (file: Buffer) => {
    for (const change of changes) change(file)
  }
const inHeaders = (change: (at: number) => Change) => all(...HEADERS.map(change))
const inRegions = (change: (at: number) => Change) => all(...REGION_TABLES.map(change))
/** A third region. */
const region = (offset: number, bytes: number, required = 0, guid = '11111111222233334444555555555555') =>
  inRegions((at) =>
    all(
      word(at + REGION.count, 3),
      (file) => file.write(guid, at + REGION.guid + 2 * REGION.next, 'hex'),
      long(at + REGION.offset + 2 * REGION.next, BigInt(offset)),
      word(at + REGION.bytes + 2 * REGION.next, bytes),
      word(at + REGION.required + 2 * REGION.next, required)
    )
  )
/** A sixth metadata item. */
const sixth = (guid: string, offset: number, bytes: number, flags: number) =>
  all(short(METADATA + 10, 6), item(5, guid, offset, bytes, flags))
const SIZE_ITEM = '2442a52f1bcd7648b2115dbed83bf4b8'
const UNKNOWN_ITEM = '11111111222233334444555555555555'

/** Each with its checksums made right again. */
const BREAKS: Break[] = [
  ['header', 'headers without a mark', inHeaders((at) => word(at, 0))],
  ['header', 'two headers of the same number', all(long(HEADERS[1] + HEADER.sequence, 7n), word(HEADERS[1] + 16, 1))],
  ['version', 'version 2', inHeaders((at) => short(at + HEADER.version, 2))],
  ['version', 'version 2 in the newer header', short(HEADERS[1] + HEADER.version, 2)],
  ['log_not_empty', 'a log', inHeaders((at) => word(at + HEADER.logGuid + 12, 1))],
  ['log_not_empty', 'a log in the newer header', word(HEADERS[1] + HEADER.logGuid, 1)],
  ['log', 'a log of half a MiB', inHeaders((at) => word(at + HEADER.logBytes, MiB / 2))],
  ['log', 'a log across the end', inHeaders((at) => word(at + HEADER.logBytes, 8 * MiB))],
  ['log', 'a log in the header', inHeaders((at) => long(at + HEADER.log, 0n))],
  ['log', 'a log between MiB', inHeaders((at) => long(at + HEADER.log, BigInt(LOG + 4 * KiB)))],
  ['log', 'a log at 2^64 - 1 MiB', inHeaders((at) => long(at + HEADER.log, 2n ** 64n - BigInt(MiB)))],
  ['metadata_overlap', 'a log in the metadata', inHeaders((at) => long(at + HEADER.log, BigInt(METADATA)))],
  ['region_table', 'a table without a mark', inRegions((at) => word(at, 0))],
  ['region_table_copy', 'tables that differ', word(REGION_TABLES[1] + 100, 1)],
  ['region_count', '2048 regions', inRegions((at) => word(at + REGION.count, 2048))],
  ['region_missing', 'one region', inRegions((at) => word(at + REGION.count, 1))],
  [
    'region_missing',
    'no block table',
    inRegions((at) => all(word(at + REGION.guid, 1), word(at + REGION.required, 0)))
  ],
  ['region_unknown', 'an unknown region that is required', region(SPARE, MiB, 1)],
  ['region_twice', 'a second block table', region(SPARE, MiB, 1, '6677c22d23f600429d64115e9bfd4a08')],
  ['region_outside', 'a region outside', region(8 * MiB, MiB)],
  ['region_outside', 'a region of nothing', region(SPARE, 0)],
  ['region_outside', 'a region of half a MiB', region(SPARE, MiB / 2)],
  ['region_outside', 'a region in the header section', region(0, MiB)],
  ['region_outside', 'a region between MiB', region(SPARE - 4 * KiB, MiB)],
  ['region_outside', 'metadata outside', inRegions((at) => long(at + REGION.offset + REGION.next, BEYOND))],
  ['metadata_overlap', 'a region in the log', region(LOG, MiB)],
  ['data_in_metadata', 'a block in a region that is not required', region(DATA, MiB)],
  ['data_in_metadata', 'the second of two blocks in such a region', region(DATA + MiB, MiB)],
  ['metadata_table', 'metadata without a mark', word(METADATA, 0)],
  ['metadata_count', '2048 items', short(METADATA + 10, 2048)],
  ['metadata_missing', 'no physical sector size', short(METADATA + 10, 4)],
  ['metadata_missing', 'no identifier', word(ITEMS + 64 + 24, 1)],
  ['metadata_missing', 'a size that is a user item', word(ITEMS + 32 + 24, 1)],
  ['metadata_unknown', 'an unknown item that is required', sixth(UNKNOWN_ITEM, 65536, 8, 4)],
  ['metadata_unknown', 'a user item that is required', sixth(SIZE_ITEM, 65536, 8, 5)],
  ['metadata_twice', 'a second size', sixth(SIZE_ITEM, 65536, 8, 4)],
  ['metadata_item', 'a size of four bytes', word(ITEMS + 32 + 20, 4)],
  ['metadata_item', 'a size without a place', all(word(ITEMS + 32 + 16, 0), word(ITEMS + 32 + 20, 0))],
  ['metadata_item', 'an item in the table', sixth(UNKNOWN_ITEM, 65535, 8, 0)],
  ['metadata_item', 'an item across the end', sixth(UNKNOWN_ITEM, MiB - 7, 8, 0)],
  ['metadata_item', 'an item at 2^32 - 1', sixth(UNKNOWN_ITEM, 0xffffffff, 0xffffffff, 0)],
  ['backing_file', 'a parent locator', sixth(PARENT_LOCATOR.toString('hex'), 65536, 20, 0)],
  ['backing_file', 'a disk with a parent', word(ITEM.parameters + 4, 2)],
  ['block_size', 'no blocks', word(ITEM.parameters, 0)],
  ['block_size', 'blocks of 512 KiB', word(ITEM.parameters, MiB / 2)],
  ['block_size', 'blocks of 3 MiB', word(ITEM.parameters, 3 * MiB)],
  ['block_size', 'blocks of 512 MiB', word(ITEM.parameters, 512 * MiB)],
  ['sector_size', 'sectors of no bytes', word(ITEM.logical, 0)],
  ['sector_size', 'sectors of 1024 bytes', word(ITEM.logical, 1024)],
  ['sector_size', 'physical sectors of 513 bytes', word(ITEM.physical, 513)],
  ['virtual_size', 'no disk', long(ITEM.size, 0n)],
  ['virtual_size', 'half a sector', long(ITEM.size, 1000n)],
  ['virtual_size', 'an eighth of a sector of 4 KiB', word(ITEM.logical, 4096)],
  ['virtual_size_limit', 'more than 64 TiB', long(ITEM.size, BigInt(64 * TiB + 512))],
  ['virtual_size_limit', 'a disk of 2^64 - 512', long(ITEM.size, 2n ** 64n - 512n)],
  ['bat_size', 'a disk above the size of its table', long(ITEM.size, BigInt((128 * KiB - 30) * MiB))],
  ['bat_entry', 'the state 3', entry(1, 3n)],
  ['bat_entry', 'the state 4', entry(1, 4n)],
  ['bat_entry', 'a place between MiB', entry(1, BigInt(SPARE + 512 * KiB) | PRESENT)],
  ['bat_entry', 'a reserved bit', entry(1, BigInt(SPARE + 8) | PRESENT)],
  ['backing_file', 'a block that is there in part', entry(1, BigInt(SPARE) | 7n)],
  ['data_in_metadata', 'a block in the header', present(1, 0)],
  ['data_in_metadata', 'a block in the log', present(1, LOG)],
  ['data_in_metadata', 'a block in the table', present(1, BAT)],
  ['data_in_metadata', 'a block in the metadata', present(1, METADATA)],
  ['data_outside', 'a block after the end', present(1, 8 * MiB)],
  ['data_outside', 'a block at 2^64 - 1 MiB', entry(1, 2n ** 64n - BigInt(MiB) + PRESENT)],
  ['block_shared', 'a block twice', present(1, DATA)],
  // The first place of a run of two, and the second.
  ['block_shared', 'a block inside a run', present(1, DATA + MiB)]
]

describeDisk('tiny vhdx', async () => {
  const file = memoryFile(tinyVhdx())
  return { disk: await openDisk(file, 'vhdx', LIMITS, diskReaders()), file, reference: tinyVhdxContent() }
})

describe('rules of vhdx', () => {
  it('are tried on an image that qemu finds sound', async () => {
    await using workshop = await Workshop.open()
    await workshop.write('tiny.vhdx', tinyVhdx())

    await expect(workshop.qemuImg('check', '-f', 'vhdx', 'tiny.vhdx')).resolves.toBe(undefined)
    expect((await workshop.reference('tiny.vhdx', 'vhdx')).equals(tinyVhdxContent())).toBe(true)
    expect(await refusal(tinyVhdx())).toBeUndefined()
  })

  it.each(BREAKS)('%s refuses %s', async (rule, _what, how) => {
    const file = tinyVhdx()
    how(file)

    expect(await refusal(seal(file))).toMatchObject({ rule })
  })

  it.each([
    ['header', 'a bit of each header', [HEADERS[0] + 4000, HEADERS[1] + 4000]],
    ['region_table', 'a bit of the region table', [REGION_TABLES[0] + 60_000]],
    ['region_table_copy', 'a bit of its copy', [REGION_TABLES[1] + 60_000]]
  ])('%s notices %s', async (rule, _what, places) => {
    const file = tinyVhdx()
    for (const at of places) file[at] = 1

    expect(await refusal(file)).toMatchObject({ rule })
  })

  it.each([0, 8, 4096, 65536, 200_000, MiB - 1, MiB, BAT, METADATA, DATA, SPARE - 1])(
    'refuse a file cut to %i bytes',
    async (bytes) => {
      expect(await refusal(tinyVhdx().subarray(0, bytes))).toHaveProperty('rule')
    }
  )

  it('refuse regions above the size of their file before they are compared', async () => {
    const file = tinyVhdx()
    region(LOG, 6 * MiB)(file)

    expect(await refusal(seal(file))).toMatchObject({ message: expect.stringContaining('larger than its file') })
  })

  it('say what to do about a log', async () => {
    const file = tinyVhdx()
    inHeaders((at) => word(at + HEADER.logGuid, 1))(file)

    expect(await refusal(seal(file))).toMatchObject({ message: expect.stringContaining('qemu-img check -r all') })
  })

  it('refuse a table with one place in it again and again, before it is kept', async () => {
    const file = tinyVhdx()
    long(ITEM.size, BigInt(100 * MiB))(file)
    for (let block = 0; block < 100; block += 1) present(block, DATA + (block % 2) * 2 * MiB)(file)

    expect(await refusal(file)).toMatchObject({ rule: 'block_shared', message: expect.stringContaining('more') })
  })

  it.each([0, 1])('take header %i where only that one is valid', async (valid) => {
    const file = tinyVhdx()
    const broken = HEADERS[1 - valid] ?? 0
    word(broken + HEADER.logGuid, 1)(file)

    expect(await refusal(file)).toBeUndefined()
  })

  it('take the header with the higher number, wherever it is', async () => {
    const file = tinyVhdx()
    long(HEADERS[0] + HEADER.sequence, 2n ** 63n)(file)
    word(HEADERS[1] + HEADER.logGuid, 1)(file)

    expect(await refusal(seal(file))).toBeUndefined()
  })

  it('take two headers that are the same', async () => {
    const file = tinyVhdx()
    file.copy(file, HEADERS[1], HEADERS[0], HEADERS[0] + 4 * KiB)

    expect(await refusal(file)).toBeUndefined()
  })

  it.each([
    ['an unknown region that is not required', region(SPARE, MiB)],
    ['an unknown item that is not required', sixth(UNKNOWN_ITEM, 65536, MiB - 65536, 0)],
    ['an empty item', sixth(UNKNOWN_ITEM, 0, 0, 1)],
    ['a user item with the name of the size', sixth(SIZE_ITEM, 70000, 8, 1)],
    ['a fixed disk', word(ITEM.parameters + 4, 1)],
    ['a disk that its table just holds', long(ITEM.size, BigInt((128 * KiB - 31) * MiB))],
    ['whatever follows the last entry', all(long(ITEM.size, BigInt(4 * GiB)), present(4096, SPARE))],
    ['sectors of 4 KiB', all(word(ITEM.logical, 4096), long(ITEM.size, BigInt(3 * MiB)))]
  ])('take %s', async (_what, how) => {
    const file = tinyVhdx()
    how(file)

    expect(await refusal(seal(file))).toBeUndefined()
  })

  it.each([0n, 1n, 2n, 5n])('read zeros where the state is %i, whatever place it had before', async (state) => {
    const file = tinyVhdx()
    entry(1, BigInt(DATA) | state)(file)
    await using disk = await open(file)
    const block = Buffer.alloc(MiB, 1)
    await disk.read(block, MiB)

    expect(block.equals(Buffer.alloc(MiB))).toBe(true)
  })
})

describe('vhdx', () => {
  it('gives extents as its table has them', async () => {
    await using disk = await open(tinyVhdx())
    const extents = []
    for await (const extent of disk.extents()) extents.push(extent)

    expect(extents).toEqual([
      { offset: 0, length: MiB, data: true },
      { offset: MiB, length: MiB, data: false },
      { offset: 2 * MiB, length: MiB + 1536, data: true }
    ])
  })

  it('reads blocks that are neighbours in the file at once', async () => {
    const file = memoryFile(tinyVhdx())
    await using disk = await openDisk(file, 'vhdx', LIMITS, diskReaders())
    const before = file.reads

    await disk.read(Buffer.alloc(MiB + 1000), 2 * MiB + 100)

    expect(file.reads - before).toBe(1)
  })

  it.each([
    ['512', 4096],
    ['4096', 32768]
  ])('skips the entries of sector bitmaps (sectors of %s bytes)', async (sectorBytes, chunk) => {
    const file = tinyVhdx()
    long(ITEM.size, BigInt((chunk + 2) * MiB))(file)
    word(ITEM.logical, Number(sectorBytes))(file)
    for (const block of [2, 3]) entry(block, 0n)(file)
    present(chunk - 1, DATA)(file)
    present(chunk + 1, DATA + MiB)(file)
    const found = Buffer.alloc(2 * MiB)
    {
      await using disk = await open(file)
      await disk.read(found, (chunk - 1) * MiB)
      expect(found.toString('latin1', 0, 8)).toBe('block 2 ')
      expect(found.toString('latin1', MiB, MiB + 8)).toBe('block 3 ')
    }
    present(chunk, SPARE)(file)

    expect(await refusal(file)).toMatchObject({ rule: 'bat_bitmap' })
  })

  it('finds blocks after the first chunk where qemu wrote them', async () => {
    await using workshop = await Workshop.open()
    await workshop.qemuImg('create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', 'large.vhdx', '9G')
    const writes = ['write -P 1 4095M 64k', 'write -P 2 4096M 64k', 'write -P 3 8193M 64k']
    await workshop.qemuIo('large.vhdx', writes, 'vhdx')
    const file = await openLocalFile(workshop.path('large.vhdx'))
    await using disk = await openDisk(file, 'vhdx', LIMITS, diskReaders())
    const extents = []
    for await (const { offset, length, data } of disk.extents()) if (data) extents.push([offset, length])

    expect(disk.virtualSize).toBe(9 * GiB)
    expect(extents).toEqual([
      [4095 * MiB, 2 * MiB],
      [8193 * MiB, MiB]
    ])
  })

  it('counts CRC-32C as RFC 3720 does', () => {
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43)
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  })

  it('writes GUIDs as everybody does', () => {
    expect(guidAt(PARENT_LOCATOR, 0)).toBe('a8d35f2d-b30b-454d-abf7-d3d84834ab0c')
  })
})
