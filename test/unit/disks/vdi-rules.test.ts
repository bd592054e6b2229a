import { describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from './recorded-file.ts'
import { BMAP, DATA, HEADER, SIZE, tinyReference, tinyVdi } from './tiny-vdi.ts'
import { Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 34 }

const open = (bytes: Buffer) => openDisk(memoryFile(bytes), 'vdi', LIMITS, diskReaders())
const refusal = (bytes: Buffer) =>
  open(bytes).then(
    () => undefined,
    (error) => error
  )

type Change = (file: Buffer) => unknown
const word = (at: number, value: number) => (file: Buffer) => file.writeUInt32LE(value, at)
const long = (at: number, value: bigint) => (file: Buffer) => file.writeBigUInt64LE(value, at)

const BREAKS: [rule: string, what: string, how: Change][] = [
  ['version', 'version 1.0', word(HEADER.version, 0x00010000)],
  ['version', 'version 2.1', word(HEADER.version, 0x00020001)],
  ['image_type', 'a type of no kind', word(HEADER.type, 0)],
  ['image_type', 'an undo image', word(HEADER.type, 3)],
  ['image_type', 'a differencing image', word(HEADER.type, 4)],
  ['parent', 'an image it is linked to', (file) => file.writeUInt8(1, HEADER.link + 15)],
  ['parent', 'a parent', (file) => file.writeUInt8(1, HEADER.parent)],
  ['sector_size', 'sectors of 4 KiB', word(HEADER.sectorSize, 4096)],
  ['block_size', 'blocks of no bytes', word(HEADER.blockSize, 0)],
  ['block_size', 'blocks of 2 MiB', word(HEADER.blockSize, 2 * MiB)],
  ['block_size', 'blocks with something before them', word(HEADER.blockExtra, 512)],
  ['virtual_size', 'no disk', long(HEADER.size, 0n)],
  ['virtual_size_limit', 'a disk of 2^64 - 1', long(HEADER.size, 2n ** 64n - 1n)],
  ['virtual_size_limit', 'a byte too many', long(HEADER.size, 2n ** 34n + 1n)],
  ['block_count', 'a block too few', word(HEADER.blocks, 3)],
  ['block_count', 'a block too many', word(HEADER.blocks, 5)],
  ['block_count', 'blocks of 4 PiB', word(HEADER.blocks, 0xffffffff)],
  ['blocks_allocated', 'more blocks than the disk has', word(HEADER.allocated, 5)],
  ['blocks_allocated', 'a fixed image without all its blocks', word(HEADER.type, 2)],
  ['header_length', 'a short header', word(HEADER.length, 0x17f)],
  ['header_length', 'a header that reaches into the map', word(HEADER.length, BMAP - 71)],
  ['header_length', 'a header of 4 GiB', word(HEADER.length, 0xffffffff)],
  ['header_length', 'a map in the header', word(HEADER.map, 0)],
  ['block_map', 'a map across sectors', word(HEADER.map, BMAP + 4)],
  ['block_map', 'a map in the data', word(HEADER.map, DATA)],
  ['block_map', 'a map that reaches into the data', word(HEADER.data, BMAP)],
  ['block_map', 'a map far outside', word(HEADER.map, 0xfffffe00)],
  ['data_outside', 'data across sectors', word(HEADER.data, DATA + 4)],
  ['data_outside', 'data far outside', word(HEADER.data, 0xfffffe00)],
  ['data_outside', 'data a sector too far', word(HEADER.data, DATA + 512)],
  ['block_outside', 'a block of none', word(BMAP, 2)],
  ['block_outside', 'a block far outside', word(BMAP, 0xfffffffd)],
  ['block_shared', 'a block used twice', word(BMAP, 0)]
]

describeDisk('tiny vdi', async () => {
  const file = memoryFile(tinyVdi())
  return { disk: await openDisk(file, 'vdi', LIMITS, diskReaders()), file, reference: tinyReference() }
})

describe('rules of vdi', () => {
  it('are tried on an image that qemu finds sound', async () => {
    await using workshop = await Workshop.open()
    await workshop.write('reference.raw', tinyReference())
    await workshop.write('tiny.vdi', tinyVdi())
    await workshop.qemuImg('check', '-q', '-f', 'vdi', 'tiny.vdi')
    await workshop.qemuImg('compare', '-q', '-f', 'vdi', '-F', 'raw', 'tiny.vdi', 'reference.raw')
    expect(await refusal(tinyVdi())).toBeUndefined()
  })

  it.each(BREAKS)('%s refuses %s', async (rule, _what, how) => {
    const file = tinyVdi()
    how(file)

    expect(await refusal(file)).toMatchObject({ rule })
  })

  it('magic refuses another signature, when the reader is asked directly', async () => {
    const file = tinyVdi().fill(0, 0x40, 0x44)

    await expect(diskReaders().get('vdi')?.open(memoryFile(file), LIMITS)).rejects.toMatchObject({ rule: 'magic' })
  })

  it.each([0, 0x44, 511, 512, BMAP + 16, DATA, DATA + MiB, -1])('refuse a file cut to %i bytes', async (bytes) => {
    expect(await refusal(tinyVdi().subarray(0, bytes))).toHaveProperty('rule')
  })

  it.each<[what: string, how: Change]>([
    ['the header of a later program', word(HEADER.length, 0x190)],
    ['a size of an odd number of bytes, as VBoxManage made them', long(HEADER.size, BigInt(SIZE - 1))]
  ])('take %s', async (_what, how) => {
    const file = tinyVdi()
    how(file)
    await using disk = await open(file)

    expect(disk.virtualSize).toBe(SIZE)
  })
})
