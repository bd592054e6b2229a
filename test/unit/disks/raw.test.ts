import { describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { raw } from '../../../src/disks/raw.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from './recorded-file.ts'
import { mixedDisk } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 30 }
const KiB = 1024

function harness(bytes: Buffer, ranges?: { offset: number; length: number }[]) {
  return async () => {
    const file = memoryFile(bytes, ranges)
    const disk = await openDisk(file, 'raw', LIMITS, diskReaders())
    const filled = Buffer.concat([bytes, Buffer.alloc(Math.ceil(bytes.length / 512) * 512 - bytes.length)])
    return { disk, file, reference: filled }
  }
}

describeDisk('raw', harness(mixedDisk(3 * KiB * KiB)))
describeDisk('raw of one byte', harness(Buffer.from('x')))
describeDisk('raw of an odd length', harness(mixedDisk(1_000_001)))

const ranges = [
  { offset: 0, length: 64 * KiB },
  { offset: 64 * KiB, length: 10 },
  { offset: 300 * KiB, length: 100 * KiB },
  { offset: 999_999, length: 2 }
]
const sparse = Buffer.alloc(1_000_001)
for (const { offset, length } of ranges) sparse.fill('data', offset, offset + length)
describeDisk('raw with known holes', harness(sparse, ranges))
describeDisk('raw without any data', harness(Buffer.alloc(64 * KiB), []))

describe('raw', () => {
  it.each([
    [
      'overlap',
      [
        { offset: 0, length: 600 },
        { offset: 512, length: 100 }
      ]
    ],
    ['are empty', [{ offset: 0, length: 0 }]],
    ['end outside the file', [{ offset: 512, length: 513 }]]
  ])('refuses data ranges that %s', async (_how, dataRanges) => {
    const opened = raw.open(memoryFile(Buffer.alloc(1024), dataRanges), LIMITS)

    await expect(opened).rejects.toMatchObject({ rule: 'data_ranges' })
  })

  it('refuses an empty file', async () => {
    await expect(raw.open(memoryFile(Buffer.alloc(0)), LIMITS)).rejects.toMatchObject({ rule: 'virtual_size' })
  })
})
