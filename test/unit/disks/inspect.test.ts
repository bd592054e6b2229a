import { describe, expect, it } from 'vitest'
import type { DiskReader } from '../../../src/disks/disk.ts'
import { assertBareDisk, openDisk } from '../../../src/disks/inspect.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { ImageUnsafe, SourceReadFailed } from '../../../src/domain/errors.ts'
import { memoryFile } from './recorded-file.ts'

const LIMITS = { maxVirtualSize: 2 ** 30 }
const SIZE = 128 * 1024

const openRaw = (bytes: Buffer) => openDisk(memoryFile(bytes), 'raw', LIMITS, diskReaders())

/** A disk of zeros with some bytes in it; a negative place counts from the end. */
function diskWith(magic: string, place: number): Buffer {
  const bytes = Buffer.alloc(SIZE)
  bytes.write(magic, place < 0 ? SIZE + place : place, 'latin1')
  return bytes
}

const DESCRIPTOR = 'version=1\nCID=1\nRW 1 FLAT "/etc/passwd" 0\n'
const FOREIGN: [format: string, magic: string, place: number][] = [
  ['qcow2', 'QFI\xfb', 0],
  ['qed', 'QED\0', 0],
  ['vmdk', 'KDMV', 0],
  ['vmdk', 'COWD', 0],
  ['vmdk', '\xbe\xba\xfe\xca\0\0\0\0', 0],
  ['vmdk', `# Disk DescriptorFile\n${DESCRIPTOR}`, 0],
  ['vmdk', '# disk descriptorfile\r\n', 0],
  ['vmdk', '\xef\xbb\xbf# Disk DescriptorFile\n', 0],
  ['vmdk', `# a comment with \xc3\xa9\n\n  # DISK DescriptorFILE\n${DESCRIPTOR}`, 0],
  ['vmdk', `${'# a long comment\n'.repeat(2000)}${DESCRIPTOR}`, 0],
  ['vmdk', `\r\n VERSION = 2\n`, 0],
  ['vmdk', `\0\0\0\0# Disk\0 DescriptorFile\n`, 0],
  ['vhd', 'conectix', 0],
  ['vhd', 'conectix', -512],
  ['vhd', 'conectix', -511],
  ['vhdx', 'vhdxfile', 0],
  ['vdi', '\x7f\x10\xda\xbe', 0x40],
  ['ploop', 'WithoutFreeSpace', 0],
  ['ploop', 'WithouFreSpacExt', 0],
  ['bochs', 'Bochs Virtual HD Image', 0],
  ['cloop', '#!/bin/sh\n#V2.0 Format\nmodprobe cloop', 0],
  ['dmg', 'koly', -512],
  ['dmg', 'koly', -777],
  ['iso', 'CD001', 32769],
  ['iso', 'NSR02', 34817],
  ['iso', 'NSR03', 40961]
]

describe('openDisk', () => {
  it.each(FOREIGN)('refuses %s declared raw (%j at %i)', async (format, magic, place) => {
    await expect(openRaw(diskWith(magic, place))).rejects.toMatchObject({
      rule: 'format_mismatch',
      message: expect.stringContaining(format)
    })
  })

  it('finds the footer of a VHD whose last sector is not whole', async () => {
    const bytes = Buffer.alloc(SIZE + 100)
    bytes.write('conectix', SIZE)

    await expect(openRaw(bytes)).rejects.toMatchObject({ rule: 'format_mismatch' })
  })

  it.each([
    ['a partition table', '\x55\xaa', 510],
    ['a GPT', 'EFI PART', 512],
    ['an encrypted volume', 'LUKS\xba\xbe', 0],
    ['text', 'just a text\nversion=1\n', 0],
    ['a magic of qcow2 further in', 'QFI\xfb', 512]
  ])('takes %s for what a bare disk may hold', async (_what, magic, place) => {
    await using disk = await openRaw(diskWith(magic, place))

    expect(disk.virtualSize).toBe(SIZE)
  })

  it.each(['qed', 'exe', 'QCOW2', 'Raw', '__proto__', 'constructor', ''])('reads no %j', async (declared) => {
    const opened = openDisk(memoryFile(Buffer.alloc(512)), declared, LIMITS, diskReaders())

    await expect(opened).rejects.toMatchObject({ rule: 'unsupported_format' })
  })

  it('refuses an image of two formats', async () => {
    const bytes = diskWith('QFI\xfb', 0)
    bytes.write('conectix', SIZE - 512)
    const opened = openDisk(memoryFile(bytes), 'qcow2', LIMITS, diskReaders())

    await expect(opened).rejects.toMatchObject({ rule: 'multiple_formats' })
  })

  it('refuses an empty file and one above the limit', async () => {
    await expect(openRaw(Buffer.alloc(0))).rejects.toMatchObject({ rule: 'empty' })
    const opened = openDisk(memoryFile(Buffer.alloc(1025)), 'raw', { maxVirtualSize: 1024 }, diskReaders())
    await expect(opened).rejects.toMatchObject({ rule: 'virtual_size_limit' })
  })

  it('holds a reader to the limit that forgets it', async () => {
    const [raw] = diskReaders().values()
    const forgetful: DiskReader = { name: 'raw', open: async (file) => openOr(raw, file) }
    const opened = openDisk(
      memoryFile(Buffer.alloc(4096)),
      'raw',
      { maxVirtualSize: 1024 },
      new Map([['raw', forgetful]])
    )

    await expect(opened).rejects.toMatchObject({ rule: 'virtual_size_limit' })
  })

  it('refuses an image whose reader fails in a way nobody thought of', async () => {
    const cause = new TypeError('cannot read properties of undefined')
    const failing: DiskReader = { name: 'raw', open: () => Promise.reject(cause) }
    const opened = openDisk(memoryFile(Buffer.alloc(512)), 'raw', LIMITS, new Map([['raw', failing]]))

    await expect(opened).rejects.toMatchObject({ rule: 'unreadable', cause })
  })

  it('does not blame the image when its store fails', async () => {
    const file = {
      size: 512,
      read: () => Promise.reject(new SourceReadFailed('gone')),
      async [Symbol.asyncDispose]() {}
    }

    await expect(openDisk(file, 'raw', LIMITS, diskReaders())).rejects.toBeInstanceOf(SourceReadFailed)
  })

  it('leaves the file open when it throws', async () => {
    const file = memoryFile(diskWith('KDMV', 0))

    await expect(openDisk(file, 'raw', LIMITS, diskReaders())).rejects.toBeInstanceOf(ImageUnsafe)
    expect(file.closed).toBe(false)
  })
})

async function openOr(reader: DiskReader | undefined, file: Parameters<DiskReader['open']>[0]) {
  if (!reader) throw new Error('there is no reader')
  return reader.open(file, { maxVirtualSize: 2 ** 40 })
}

describe('assertBareDisk', () => {
  /** A disk that was opened by its reader alone, as one inside another format is. */
  const inside = async (bytes: Buffer) => openOr(diskReaders().get('raw'), memoryFile(bytes))

  it.each(FOREIGN)('refuses a guest that wrote the mark of %s on its disk (%j at %i)', async (format, magic, place) => {
    await using disk = await inside(diskWith(magic, place))

    await expect(assertBareDisk(disk)).rejects.toMatchObject({
      rule: 'nested_format',
      message: expect.stringContaining(format)
    })
  })

  it('takes a disk with a partition table', async () => {
    await using disk = await inside(diskWith('\x55\xaa', 510))

    await expect(assertBareDisk(disk)).resolves.toBeUndefined()
  })
})
