import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { checksum } from '../../../src/disks/vhd/checksum.ts'
import { vhd } from '../../../src/disks/vhd/vhd.ts'
import { TiB } from '../../../src/domain/bytes.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from './recorded-file.ts'
import {
  BAT,
  BLOCK,
  DYNAMIC_HEADER,
  FOOTER,
  FOOTER_FIELD,
  footer,
  HEADER_FIELD,
  PLACES,
  PRESENT,
  SECTOR,
  SIZE,
  seal,
  tinyVhd,
  tinyVhdContent
} from './tiny-vhd.ts'
import { Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 16 * TiB }

/** The rule that refuses the image when it is opened or read, or undefined. */
async function refusal(bytes: Buffer): Promise<unknown> {
  try {
    const disk = await openDisk(memoryFile(bytes), 'vhd', LIMITS, diskReaders())
    await disk.read(Buffer.alloc(disk.virtualSize), 0)
    return undefined
  } catch (error) {
    return error
  }
}

type Break = [rule: string, what: string, how: (file: Buffer) => unknown]

const word = (at: number, value: number) => (file: Buffer) => file.writeUInt32BE(value, at)
const long = (at: number, value: bigint) => (file: Buffer) => file.writeBigUInt64BE(value, at)
const entry = (block: number, offset: number) => word(BAT + block * 4, offset / SECTOR)

/** Each with its checksums made right again. */
const BREAKS: Break[] = [
  ['version', 'version 2', word(FOOTER_FIELD.version, 0x00020000)],
  ['backing_file', 'a differencing disk', word(FOOTER_FIELD.type, 4)],
  ['disk_type', 'no disk', word(FOOTER_FIELD.type, 0)],
  ['disk_type', 'a type of old versions', word(FOOTER_FIELD.type, 5)],
  ['footer_copy', 'a fixed disk that begins with a footer', word(FOOTER_FIELD.type, 2)],
  ['virtual_size', 'no disk', long(FOOTER_FIELD.size, 0n)],
  ['virtual_size', 'less than a sector', long(FOOTER_FIELD.size, 511n)],
  ['virtual_size_limit', 'a disk of 2^64 - 512', long(FOOTER_FIELD.size, 2n ** 64n - 512n)],
  ['virtual_size_limit', 'a disk above the limit', long(FOOTER_FIELD.size, BigInt(16 * TiB + 512))],
  ['dynamic_header', 'its header nowhere', long(FOOTER_FIELD.headerOffset, 2n ** 64n - 1n)],
  ['dynamic_header', 'its header in the footer', long(FOOTER_FIELD.headerOffset, 0n)],
  ['dynamic_header', 'its header between sectors', long(FOOTER_FIELD.headerOffset, 513n)],
  ['dynamic_header', 'its header across the end', long(FOOTER_FIELD.headerOffset, BigInt(FOOTER - SECTOR))],
  ['dynamic_header', 'its header where there is none', long(FOOTER_FIELD.headerOffset, BigInt(BAT))],
  ['version', 'version 2 of the header', word(HEADER_FIELD.version, 0x00020000)],
  ['backing_file', 'the identifier of a parent', (file) => file.writeUInt8(1, HEADER_FIELD.parent + 15)],
  ['block_size', 'no blocks', word(HEADER_FIELD.blockSize, 0)],
  ['block_size', 'blocks of 256 KiB', word(HEADER_FIELD.blockSize, BLOCK / 2)],
  ['block_size', 'blocks of 768 KiB', word(HEADER_FIELD.blockSize, BLOCK + BLOCK / 2)],
  ['block_size', 'blocks of 512 MiB', word(HEADER_FIELD.blockSize, 2 ** 29)],
  ['bat_size', 'no table', word(HEADER_FIELD.entries, 0)],
  ['bat_size', 'a table below the size of its disk', word(HEADER_FIELD.entries, 3)],
  ['bat_size', 'a table above any disk', word(HEADER_FIELD.entries, 0x3fc001)],
  ['bat', 'a table across the end', word(HEADER_FIELD.entries, 0x3fc000)],
  ['bat', 'a table in the footer', long(HEADER_FIELD.bat, 0n)],
  ['bat', 'a table between sectors', long(HEADER_FIELD.bat, 1537n)],
  ['bat', 'a table in the closing footer', long(HEADER_FIELD.bat, BigInt(FOOTER))],
  ['bat', 'a table at 2^64 - 512', long(HEADER_FIELD.bat, 2n ** 64n - 512n)],
  ['metadata_overlap', 'a table in the header', long(HEADER_FIELD.bat, BigInt(DYNAMIC_HEADER + SECTOR))],
  ['data_outside', 'a block across the closing footer', entry(1, FOOTER - BLOCK)],
  ['data_outside', 'a block far outside', word(BAT + 4, 0xfffffffe)],
  ['block_shared', 'a block twice', entry(1, PLACES[1] ?? 0)],
  ['block_shared', 'blocks that overlap by a sector', entry(1, (PLACES[1] ?? 0) + BLOCK)],
  ['data_in_metadata', 'a block in the first footer', entry(3, 0)],
  [
    'data_in_metadata',
    'a block in the header',
    (file) => {
      entry(3, 2 * SECTOR)(file)
      entry(2, PLACES[3] ?? 0)(file)
    }
  ],
  ['data_in_metadata', 'a block in the table', entry(3, BAT)]
]

describeDisk('tiny vhd with a bitmap of some sectors', async () => {
  const file = memoryFile(tinyVhd())
  return { disk: await openDisk(file, 'vhd', LIMITS, diskReaders()), file, reference: tinyVhdContent() }
})

describe('rules of vhd', () => {
  it('are tried on an image that qemu finds sound', async () => {
    await using workshop = await Workshop.open()
    await workshop.write('tiny.vhd', tinyVhd())

    await expect(workshop.qemuImg('compare', '-f', 'vpc', '-F', 'vpc', 'tiny.vhd', 'tiny.vhd')).resolves.toBe(undefined)
    expect(await refusal(tinyVhd())).toBeUndefined()
  })

  it.each(BREAKS)('%s refuses %s', async (rule, _what, how) => {
    const file = tinyVhd()
    how(file)

    expect(await refusal(seal(file))).toMatchObject({ rule })
  })

  it.each([
    ['footer_checksum', 'a bit of the closing footer', [FOOTER + 200]],
    ['footer_copy', 'a bit of the first footer', [200]],
    ['footer_checksum', 'a bit of both footers', [200, FOOTER + 200]],
    ['dynamic_checksum', 'a bit of the header', [DYNAMIC_HEADER + 1000]]
  ])('%s notices %s', async (rule, _what, places) => {
    const file = tinyVhd()
    for (const at of places) file[at] = 1

    expect(await refusal(file)).toMatchObject({ rule })
  })

  it.each([511, 512, 1024, 1536, BAT + SECTOR, FOOTER, FOOTER + 511])(
    'refuse a file cut to %i bytes',
    async (bytes) => {
      expect(await refusal(tinyVhd().subarray(0, bytes))).toHaveProperty('rule')
    }
  )

  it('refuse a footer of 511 bytes', async () => {
    const disk = Buffer.concat([Buffer.alloc(1024), footer({ size: 1024, type: 2 }).subarray(0, 511)])

    expect(await refusal(disk)).toMatchObject({ rule: 'footer' })
  })

  it('refuse a table with one place in it again and again, before it is kept', async () => {
    const file = tinyVhd()
    word(HEADER_FIELD.entries, 100)(file)
    for (let block = 0; block < 100; block += 1) entry(block, PLACES[block % 2] ?? 0)(file)

    expect(await refusal(seal(file))).toMatchObject({ rule: 'block_shared', message: expect.stringContaining('more') })
  })

  it('take a table above the size of its disk, whose last entries are checked as well', async () => {
    const file = tinyVhd()
    word(HEADER_FIELD.entries, 9)(file)
    expect(await refusal(seal(file))).toBeUndefined()
    entry(8, FOOTER)(file)

    expect(await refusal(file)).toMatchObject({ rule: 'data_outside' })
  })
})

describe('the size of a vhd', () => {
  let workshop: Workshop
  beforeAll(async () => {
    workshop = await Workshop.open()
  })
  afterAll(async () => {
    await workshop[Symbol.asyncDispose]()
  })

  const KiB = 1024
  const BY_SIZE = 100 * KiB
  const BY_GEOMETRY = 2 * 4 * 17 * SECTOR
  const BOTH: [number, number, number] = [2, 4, 17]

  it.each([
    ['Virtual PC', 'vpc ', BY_GEOMETRY],
    ['qemu', 'qemu', BY_GEOMETRY],
    ['qemu with force_size', 'qem2', BY_SIZE],
    ['Hyper-V', 'win ', BY_SIZE],
    ['disk2vhd', 'd2v ', BY_SIZE],
    ['XenServer', 'tap\0', BY_SIZE],
    ['XenConverter', 'CTXS', BY_SIZE]
  ])('made by %s is what qemu says', async (_who, creator, expected) => {
    const image = Buffer.concat([Buffer.alloc(BY_SIZE), footer({ size: BY_SIZE, creator, geometry: BOTH, type: 2 })])
    await workshop.write('image.vhd', image)
    await using disk = await vhd.open(memoryFile(image), LIMITS)

    expect(disk.virtualSize).toBe(expected)
    expect((await workshop.reference('image.vhd', 'vpc')).length).toBe(expected)
  })

  // qemu 7 still goes by the geometry here; qemu 10 does not.
  it.each([
    ['Azure', 'wa\0\0'],
    ['VirtualBox', 'vbox']
  ])('made by %s is the one in the footer', async (_who, creator) => {
    const image = Buffer.concat([Buffer.alloc(BY_SIZE), footer({ size: BY_SIZE, creator, geometry: BOTH, type: 2 })])
    await using disk = await vhd.open(memoryFile(image), LIMITS)

    expect(disk.virtualSize).toBe(BY_SIZE)
  })

  it('is the one in the footer where the geometry has come to its end', async () => {
    const largest: [number, number, number] = [65535, 16, 255]
    const image = Buffer.concat([
      Buffer.alloc(BY_SIZE),
      footer({ size: BY_SIZE, creator: 'qemu', geometry: largest, type: 2 })
    ])
    await workshop.write('image.vhd', image)
    await using disk = await vhd.open(memoryFile(image), LIMITS)

    expect(disk.virtualSize).toBe(BY_SIZE)
    expect((await workshop.reference('image.vhd', 'vpc')).length).toBe(BY_SIZE)
  })

  it('is whole sectors', async () => {
    const image = Buffer.concat([Buffer.alloc(1024), footer({ size: 1023, type: 2 })])
    await using disk = await vhd.open(memoryFile(image), LIMITS)

    expect(disk.virtualSize).toBe(512)
  })

  it('is refused where the footer has none, whatever the geometry', async () => {
    const image = Buffer.concat([Buffer.alloc(BY_SIZE), footer({ size: 0, creator: 'qemu', geometry: BOTH, type: 2 })])

    expect(await refusal(image)).toMatchObject({ rule: 'virtual_size' })
  })

  it('of a fixed disk is not above its file', async () => {
    const image = Buffer.concat([Buffer.alloc(1024), footer({ size: 1536, type: 2 })])

    expect(await refusal(image)).toMatchObject({ rule: 'data_outside' })
  })
})

describe('vhd', () => {
  it('gives extents as its bitmaps have them, to the sector', async () => {
    await using disk = await vhd.open(memoryFile(tinyVhd()), LIMITS)
    const data = []
    for await (const { offset, length, data: isData } of disk.extents()) if (isData) data.push([offset, length])

    const runs = [
      [0, 3],
      [9, 1],
      [15, 2],
      [24, 1],
      [1000, 2]
    ].map(([first = 0, count = 0]) => [2 * BLOCK + first * SECTOR, count * SECTOR])
    expect(data).toEqual([[0, BLOCK], ...runs, [3 * BLOCK - SECTOR, SIZE - (3 * BLOCK - SECTOR)]])
    expect(PRESENT.at(-1)).toBe(BLOCK / SECTOR - 1)
  })

  it('reads the data of a block at once, however many holes it has', async () => {
    const file = memoryFile(tinyVhd())
    await using disk = await vhd.open(file, LIMITS)
    await disk.read(Buffer.alloc(1), 2 * BLOCK)
    const before = file.reads

    await disk.read(Buffer.alloc(BLOCK), 2 * BLOCK)

    expect(file.reads - before).toBe(1)
  })

  it('takes the holes of a fixed disk from what its store knows', async () => {
    const image = Buffer.concat([Buffer.alloc(4096, 1), Buffer.alloc(8192), footer({ size: 12288, type: 2 })])
    const ranges = [
      { offset: 0, length: 4096 },
      { offset: 12000, length: 800 }
    ]
    await using disk = await vhd.open(memoryFile(image, ranges), LIMITS)
    const extents = []
    for await (const extent of disk.extents()) extents.push(extent)

    expect(extents).toEqual([
      { offset: 0, length: 4096, data: true },
      { offset: 4096, length: 7904, data: false },
      { offset: 12000, length: 288, data: true }
    ])
  })

  it('counts a checksum as the specification does', () => {
    expect(checksum(Buffer.from([1, 2, 255, 255, 255, 255, 3]), 2)).toBe(0xffffffff - 6)
  })
})
