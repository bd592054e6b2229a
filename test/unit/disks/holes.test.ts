import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk, Range } from '../../../src/disks/disk.ts'
import { openDisk } from '../../../src/disks/inspect.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { GiB, KiB, MiB } from '../../../src/domain/bytes.ts'
import { Workshop } from './workshop.ts'

const BLOCK = 64 * KiB

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(() => workshop[Symbol.asyncDispose]())

/** Where a file is not zeros, as the image store notes it. */
async function dataRangesOf(path: string): Promise<Range[]> {
  const bytes = await readFile(path)
  const zeros = Buffer.alloc(BLOCK)
  const ranges: Range[] = []
  for (let offset = 0; offset < bytes.length; offset += BLOCK) {
    const block = bytes.subarray(offset, offset + BLOCK)
    if (!block.equals(zeros.subarray(0, block.length))) ranges.push({ offset, length: block.length })
  }
  return ranges
}

describe('an image that was filled with zeros', () => {
  it.each([
    ['qcow2', 'preallocation=full', 16, 1],
    ['vdi', 'static=on', 16, 4], // its blocks lie across those that the store looks at
    ['vhdx', 'subformat=fixed,block_size=1M', 1, 1] // qemu has marked the others as zeros already
  ])(
    'in %s reads as data only where it holds any, as far as the store knows',
    async (format, options, before, after) => {
      const name = `zeros.${format}`
      const path = workshop.path(name)
      await workshop.qemuImg('create', '-q', '-f', format, '-o', options, name, String(16 * MiB))
      await workshop.qemuIo(name, [`write -P 7 ${5 * MiB} 1M`], format)
      const open = async (ranges?: Range[]) =>
        openDisk(await openLocalFile(path, ranges), format, { maxVirtualSize: GiB }, diskReaders())

      await using unknown = await open()
      await using known = await open(await dataRangesOf(path))

      expect([await dataBytes(unknown), await dataBytes(known)]).toEqual([before * MiB, after * MiB])
      const bytes = Buffer.alloc(16 * MiB, 1)
      await known.read(bytes, 0)
      expect(bytes.equals(Buffer.alloc(16 * MiB).fill(7, 5 * MiB, 6 * MiB))).toBe(true)
    }
  )
})

async function dataBytes(disk: Disk): Promise<number> {
  const extents = await Array.fromAsync(disk.extents())
  return extents.filter(({ data }) => data).reduce((sum, { length }) => sum + length, 0)
}
