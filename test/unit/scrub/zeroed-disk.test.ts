import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Range } from '../../../src/disks/disk.ts'
import { raw } from '../../../src/disks/raw.ts'
import { RangesBuilder } from '../../../src/scrub/byte-ranges.ts'
import { ZeroedDisk } from '../../../src/scrub/zeroed-disk.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from '../disks/recorded-file.ts'
import { mixedDisk } from '../disks/workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 30 }
const SIZE = 64 * 1024

function rangesOf(list: readonly Range[]) {
  const builder = new RangesBuilder()
  for (const { offset, length } of list) builder.add(offset, length)
  return builder.build()
}

function withoutRanges(bytes: Buffer, list: readonly Range[]): Buffer {
  const copy = Buffer.from(bytes)
  for (const { offset, length } of list) copy.fill(0, offset, offset + length)
  return copy
}

const DROPPED = [
  { offset: 0, length: 3 },
  { offset: 4096, length: 65536 },
  { offset: 100_000, length: 1 },
  { offset: 3 * 2 ** 20 - 7, length: 1000 }
]

describeDisk('zeroed', async () => {
  const content = mixedDisk(4 * 2 ** 20)
  const file = memoryFile(content)
  return {
    disk: new ZeroedDisk(await raw.open(file, LIMITS), rangesOf(DROPPED)),
    reference: withoutRanges(content, DROPPED),
    file
  }
})

/** Ranges of [0, SIZE) that are apart, from lengths of what is out and what is in, in turn. */
const ranges = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 1, max: 9000 })), { maxLength: 12 })
  .map((pairs) => {
    const list: Range[] = []
    let at = -1
    for (const [gap, length] of pairs) {
      const offset = at + gap
      at = offset + length
      if (at > SIZE) break
      list.push({ offset, length })
    }
    return list
  })

it('reads as a plain buffer in which the ranges were filled with zeros', async () => {
  const content = Buffer.from(Array.from({ length: SIZE }, (_, i) => 1 + (i % 251)))
  const reads = fc.array(fc.tuple(fc.nat(SIZE), fc.nat(20_000)), { minLength: 1, maxLength: 8 })

  await fc.assert(
    fc.asyncProperty(ranges, ranges, reads, async (dropped, data, wanted) => {
      const holes = Buffer.alloc(SIZE)
      for (const { offset, length } of data) content.copy(holes, offset, offset, offset + length)
      const expected = withoutRanges(holes, dropped)
      await using disk = new ZeroedDisk(await raw.open(memoryFile(holes, data), LIMITS), rangesOf(dropped))

      for (const [offset, length] of wanted) {
        const target = Buffer.alloc(Math.min(length, SIZE - offset), 0xaa)
        await disk.read(target, offset)
        expect(target.equals(expected.subarray(offset, offset + target.length))).toBe(true)
      }
      let at = 0
      let before: boolean | undefined
      for await (const extent of disk.extents()) {
        expect(extent.offset).toBe(at)
        expect(extent.data).not.toBe(before)
        const bytes = expected.subarray(at, at + extent.length)
        expect(bytes.every((byte) => (byte !== 0) === extent.data)).toBe(true)
        at += extent.length
        before = extent.data
      }
      expect(at).toBe(SIZE)
    }),
    { numRuns: 300, seed: 7 }
  )
})

it('reads remains as zeros in what it calls data, however they lie to the dropped ranges', async () => {
  const content = Buffer.alloc(SIZE, 9)
  await fc.assert(
    fc.asyncProperty(ranges, ranges, fc.nat(SIZE), fc.nat(20_000), async (dropped, remains, offset, length) => {
      const expected = withoutRanges(withoutRanges(content, dropped), remains)
      const below = await raw.open(memoryFile(content), LIMITS)
      await using disk = new ZeroedDisk(below, rangesOf(dropped), rangesOf(remains))
      const target = Buffer.alloc(Math.min(length, SIZE - offset), 0xaa)

      await disk.read(target, offset)

      expect(target.equals(expected.subarray(offset, offset + target.length))).toBe(true)
    }),
    { numRuns: 200, seed: 8 }
  )
})
