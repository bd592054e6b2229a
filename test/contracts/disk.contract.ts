import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk, Extent, RandomAccess } from '../../src/disks/disk.ts'

export type DiskHarness = {
  readonly disk: Disk
  /** What the disk must read as, of exactly its virtual size. */
  readonly reference: Buffer
  /** The file below the disk, which counts what is asked of it. */
  readonly file: RandomAccess & { readonly reads: number; readonly closed: boolean }
}

/** The promises of `Disk` in src/disks/disk.ts, for any implementation. `open` is called once. */
export function describeDisk(name: string, open: () => Promise<DiskHarness>): void {
  describe(`disk: ${name}`, () => {
    let harness: DiskHarness
    beforeAll(async () => {
      harness = await open()
    })
    afterAll(async () => {
      await harness?.disk[Symbol.asyncDispose]()
    })

    it('has a size in sectors, and the size it should have', () => {
      expect(harness.disk.virtualSize % 512).toBe(0)
      expect(harness.disk.virtualSize).toBe(harness.reference.length)
    })

    it('covers itself with extents that follow each other', async () => {
      const extents = await all(harness.disk.extents())

      let at = 0
      for (const { offset, length } of extents) {
        expect(offset).toBe(at)
        expect(length).toBeGreaterThan(0)
        at += length
      }
      expect(at).toBe(harness.disk.virtualSize)
    })

    it('gives the same extents again', async () => {
      expect(await all(harness.disk.extents())).toEqual(await all(harness.disk.extents()))
    })

    it('calls nothing zero that holds data, and reads zeros without touching the file', async () => {
      const holes = (await all(harness.disk.extents())).filter(({ data }) => !data)
      const before = harness.file.reads

      for (const { offset, length } of holes) {
        const target = Buffer.alloc(length, 0xaa)
        await harness.disk.read(target, offset)
        expect(target.equals(Buffer.alloc(length))).toBe(true)
        expect(harness.reference.subarray(offset, offset + length).equals(target)).toBe(true)
      }
      expect(harness.file.reads).toBe(before)
    })

    it('reads as the reference in one go', async () => {
      const target = Buffer.alloc(harness.reference.length, 0xaa)
      await harness.disk.read(target, 0)

      expect(firstDifference(target, harness.reference)).toBe(-1)
    })

    it('reads any range, many at once and in any order', async () => {
      const reads = oddRanges(harness.reference.length).map(async ({ offset, length }) => {
        const target = Buffer.alloc(length, 0xaa)
        await harness.disk.read(target, offset)
        const wanted = harness.reference.subarray(offset, offset + length)
        return { offset, length, difference: firstDifference(target, wanted) }
      })

      expect((await Promise.all(reads)).filter(({ difference }) => difference !== -1)).toEqual([])
    })

    it('reads nothing at its end', async () => {
      await expect(harness.disk.read(Buffer.alloc(0), harness.disk.virtualSize)).resolves.toBeUndefined()
    })

    it.each([
      ['past its end', 512, -511],
      ['far past its end', 1, 2 ** 40],
      ['before its start', 1, Number.NEGATIVE_INFINITY],
      ['at no byte', 1, Number.NaN]
    ])('refuses a read %s', async (_where, length, beyondEnd) => {
      const offset = harness.disk.virtualSize + beyondEnd

      await expect(harness.disk.read(Buffer.alloc(length), offset)).rejects.toThrow(RangeError)
    })

    it('closes its file when it is disposed of', async () => {
      const { disk, file } = await open()

      await disk[Symbol.asyncDispose]()

      expect(file.closed).toBe(true)
    })
  })
}

async function all(extents: AsyncIterable<Extent>): Promise<Extent[]> {
  const list: Extent[] = []
  for await (const extent of extents) list.push(extent)
  return list
}

export function firstDifference(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return -1
  const at = a.findIndex((byte, i) => byte !== b[i])
  return at === -1 ? a.length : at
}

/** Ranges around powers of two, where clusters, tables and sectors begin, and some in between. */
function oddRanges(size: number): { offset: number; length: number }[] {
  const offsets = [0, 1, 511, 512, 4095, 65535, 65536, 65537, 2 ** 20 - 1, 2 ** 21 - 1, 2 ** 21, size - 513, size - 1]
  const lengths = [1, 511, 512, 513, 4097, 65537, 300_001]
  const pairs = offsets.flatMap((offset) => lengths.map((length) => ({ offset, length })))
  for (let i = 1; i <= 40; i += 1) pairs.push({ offset: (i * 104_729) % size, length: (i * 7919) % 70_000 })
  return pairs
    .filter(({ offset }) => offset >= 0 && offset < size)
    .map(({ offset, length }) => ({ offset, length: Math.min(length, size - offset) }))
}
