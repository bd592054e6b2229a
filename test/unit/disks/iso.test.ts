import { describe, expect, it } from 'vitest'
import { assertBareDisk, openDisk } from '../../../src/disks/inspect.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from './recorded-file.ts'
import { mixedDisk } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 30 }
const SECTOR = 2048

/** A medium with the descriptors that make it one, from sector 16 on, and other marks. */
function medium(names: readonly string[], marks: readonly (readonly [number, string])[] = []): Buffer {
  const bytes = Buffer.alloc(100 * SECTOR)
  mixedDisk(60 * SECTOR).copy(bytes, 40 * SECTOR)
  names.forEach((name, i) => {
    bytes.write(`\x01${name}\x01`, (16 + i) * SECTOR, 'latin1')
  })
  for (const [at, mark] of marks) bytes.write(mark, at < 0 ? bytes.length + at : at, 'latin1')
  return bytes
}

const CD = ['CD001', 'CD001']
const MBR = [510, '\x55\xaa'] as const
const GPT = [512, 'EFI PART'] as const

const open = (bytes: Buffer, declared = 'iso') => openDisk(memoryFile(bytes), declared, LIMITS, diskReaders())

describeDisk('iso', async () => {
  const bytes = medium(CD, [MBR])
  const file = memoryFile(bytes)
  return { disk: await openDisk(file, 'iso', LIMITS, diskReaders()), file, reference: bytes }
})

describe('iso', () => {
  it.each([
    ['a CD', medium(CD)],
    ['a DVD with UDF', medium(['BEA01', 'NSR02', 'TEA01'])],
    ['a bridge of both', medium(['CD001', 'CD001', 'BEA01', 'NSR03', 'TEA01'])],
    ['a hybrid with a partition table', medium(CD, [MBR])],
    ['a hybrid with a GPT', medium(CD, [MBR, GPT])]
  ])('takes %s, and lets its bytes leave bare', async (_what, bytes) => {
    await using disk = await open(bytes)

    await expect(assertBareDisk(disk, 'iso')).resolves.toBeUndefined()
  })

  it.each([
    ['a bare disk', medium([]), 'format_mismatch'],
    ['a partition table alone', medium([], [MBR]), 'format_mismatch'],
    ['a short file', Buffer.alloc(512), 'format_mismatch'],
    ['an image of another format', medium([], [[0, 'QFI\xfb']]), 'format_mismatch'],
    ['a medium that is qcow2 too', medium(CD, [[0, 'QFI\xfb']]), 'multiple_formats'],
    ['a hybrid that is vmdk too', medium(CD, [MBR, [0, 'KDMV']]), 'multiple_formats'],
    ['a medium with the footer of a VHD', medium(CD, [[-512, 'conectix']]), 'multiple_formats'],
    ['an encrypted volume', medium(CD, [[0, 'LUKS\xba\xbe']]), 'multiple_formats']
  ])('refuses %s', async (_what, bytes, rule) => {
    await expect(open(bytes)).rejects.toMatchObject({ rule })
  })

  it('is not let out of a disk of another format', async () => {
    await using disk = await open(medium(CD))

    await expect(assertBareDisk(disk)).rejects.toMatchObject({ rule: 'nested_format' })
    await expect(assertBareDisk(disk, 'qcow2')).rejects.toMatchObject({ rule: 'nested_format' })
  })

  it.each(['iso', 'qcow2', 'raw'])('lets no other format out of a disk declared %s', async (declared) => {
    const file = memoryFile(medium([], [[0, 'QFI\xfb']]))
    const disk = await diskReaders().get('raw')?.open(file, LIMITS)

    await expect(disk && assertBareDisk(disk, declared)).rejects.toMatchObject({ rule: 'nested_format' })
  })
})

describe.each(['ami', 'aki', 'ari'])('%s', (declared) => {
  it('is read as its bytes, filled up to a sector', async () => {
    await using disk = await open(Buffer.alloc(1000, 'x'), declared)
    const target = Buffer.alloc(disk.virtualSize)
    await disk.read(target, 0)

    expect(target.toString('latin1')).toBe('x'.repeat(1000) + '\0'.repeat(24))
  })

  it('may hold what bare disks hold', async () => {
    await using disk = await open(medium([], [MBR, [0, 'LUKS\xba\xbe']]), declared)

    await expect(assertBareDisk(disk, declared)).resolves.toBeUndefined()
  })

  it.each([
    ['qcow2', 'QFI\xfb', 0],
    ['iso', 'CD001', 32769],
    ['vmdk', '# Disk DescriptorFile\n', 0]
  ])('refuses %s', async (format, mark, at) => {
    await expect(open(medium([], [[at, mark]]), declared)).rejects.toMatchObject({
      rule: 'format_mismatch',
      message: expect.stringContaining(format)
    })
  })
})
