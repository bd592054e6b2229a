import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk } from '../../src/disks/disk.ts'
import { AllocationMap } from '../../src/formats/allocation-map.ts'
import type { Format, Layout } from '../../src/formats/format.ts'
import { raw } from '../../src/formats/raw.ts'
import { memoryDisk, type Run } from '../support/memory-disk.ts'
import { qemuImg } from '../support/qemu-img.ts'

/** A disk of up to `maxSectors` sectors with a few runs of data, at any sector. */
const disks = (maxSectors: number) =>
  fc
    .record({
      sectors: fc.integer({ min: 1, max: maxSectors }),
      cuts: fc.uniqueArray(fc.integer({ min: 0, max: maxSectors }), { maxLength: 12 })
    })
    .map(({ sectors, cuts }) => {
      const edges = cuts.filter((cut) => cut <= sectors).sort((a, b) => a - b)
      const runs: Run[] = []
      for (let i = 0; i + 1 < edges.length; i += 2) {
        const [from = 0, to = 0] = edges.slice(i, i + 2)
        runs.push({ offset: from * 512, length: (to - from) * 512 })
      }
      return { virtualSize: sectors * 512, runs }
    })

/** The bytes [from, to) of the laid-out file; checks on the way that segments are what they promise to be. */
async function bytesOf(layout: Layout, disk: Disk, from: number, to: number): Promise<Buffer> {
  const file = Buffer.alloc(to - from, 0xee)
  let at = 0
  for (const segment of layout.segments(from, to)) {
    const length = segment.kind === 'bytes' ? segment.bytes.length : segment.length
    expect(length).toBeGreaterThan(0)
    if (segment.kind === 'bytes') file.set(segment.bytes, at)
    else if (segment.kind === 'zero') file.fill(0, at, at + length)
    else await disk.read(file.subarray(at, at + length), segment.offset)
    at += length
  }
  expect(at).toBe(to - from)
  return file
}

/**
 * The promises of format.ts as tests. Every format calls this once.
 * @param options.qemuFormat how qemu-img is told to read the result
 * @param options.unitBytes the most that may be read for one sector of data: 1 MiB, unless the format has larger blocks
 */
export function describeFormat(
  name: string,
  format: Format,
  options: {
    readonly qemuFormat: string
    readonly checkable: boolean
    readonly maxSectors: number
    readonly runs: number
    readonly unitBytes?: number
  }
): void {
  describe(`${name} format`, () => {
    let folder: string
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'format-'))
    })
    afterAll(() => rm(folder, { recursive: true }))

    const written = async (file: string, bytes: Uint8Array) => {
      const path = join(folder, file)
      await using handle = await open(path, 'w')
      await handle.writeFile(bytes)
      return path
    }
    const provedByQemu = async (virtualSize: number, runs: readonly Run[]) => {
      const disk = memoryDisk(virtualSize, runs)
      const map = await AllocationMap.of(disk)
      const layout = format.layout(map)
      const path = await written(`out.${format.extension}`, await bytesOf(layout, disk, 0, layout.length))
      const plain = raw.layout(map)
      const reference = await written('reference.raw', await bytesOf(plain, disk, 0, plain.length))
      if (options.checkable) await qemuImg('check', '-q', '-f', options.qemuFormat, path)
      await qemuImg('compare', '-q', '-f', 'raw', '-F', options.qemuFormat, reference, path)
      return JSON.parse(await qemuImg('info', '--output=json', '-f', options.qemuFormat, path))['virtual-size']
    }

    it('lays out any disk so that qemu-img finds no fault and the same content', async () => {
      await fc.assert(
        fc.asyncProperty(disks(options.maxSectors), async ({ virtualSize, runs }) => {
          expect(await provedByQemu(virtualSize, runs)).toBe(virtualSize)
        }),
        { numRuns: options.runs, seed: 20260101 }
      )
    })

    it.each([
      ['one sector of data', 512, [{ offset: 0, length: 512 }]],
      ['an empty disk', 1 << 20, []],
      ['data in the last sector only', (1 << 20) + 512, [{ offset: 1 << 20, length: 512 }]],
      ['one sector past a cluster', (1 << 16) + 512, [{ offset: 0, length: (1 << 16) + 512 }]],
      ['a full disk', 3 << 20, [{ offset: 0, length: 3 << 20 }]]
    ])('holds %s', async (_case, virtualSize, runs) => {
      expect(await provedByQemu(virtualSize, runs)).toBe(virtualSize)
    })

    it('gives any range as exactly those bytes of the whole, every time', async () => {
      const ranges = fc.array(
        fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
        {
          minLength: 1,
          maxLength: 8
        }
      )
      await fc.assert(
        fc.asyncProperty(disks(options.maxSectors), ranges, async ({ virtualSize, runs }, pairs) => {
          const disk = memoryDisk(virtualSize, runs)
          const layout = format.layout(await AllocationMap.of(disk))
          const whole = await bytesOf(layout, disk, 0, layout.length)
          for (const pair of pairs) {
            const [from = 0, to = 0] = pair.map((share) => Math.round(share * layout.length)).sort((a, b) => a - b)
            expect((await bytesOf(layout, disk, from, to)).equals(whole.subarray(from, to))).toBe(true)
          }
        }),
        { numRuns: 100, seed: 20260102 }
      )
    })

    it('never asks the disk for more than its data, in units of the format', async () => {
      const disk = memoryDisk(64 << 20, [{ offset: 32 << 20, length: 512 }])
      const layout = format.layout(await AllocationMap.of(disk))
      await bytesOf(layout, disk, 0, layout.length)
      expect(disk.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(options.unitBytes ?? 1 << 20)
      expect(disk.reads.length).toBeGreaterThan(0)
    })
  })
}
