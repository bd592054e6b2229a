import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk, Extent } from '../../../src/disks/disk.ts'
import { raw } from '../../../src/disks/raw.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import type { OverlayDisk } from '../../../src/scrub/overlay-disk.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from '../disks/recorded-file.ts'
import { mixedDisk } from '../disks/workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 30 }
const SIZE = 64 * 1024
const signal = AbortSignal.timeout(60_000)

let folder: string
let made = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overlay-'))
})
afterAll(() => rm(folder, { recursive: true }))

const over = (base: Disk): Promise<OverlayDisk> => {
  made += 1
  return createOverlay(base, join(folder, `overlay-${made}`))
}
const overBytes = async (bytes: Buffer): Promise<OverlayDisk> => over(await raw.open(memoryFile(bytes), LIMITS))

async function extentsOf(disk: Disk): Promise<Extent[]> {
  const list: Extent[] = []
  for await (const extent of disk.extents()) list.push(extent)
  return list
}

async function bytesOf(disk: Disk): Promise<Buffer> {
  const bytes = Buffer.alloc(disk.virtualSize, 0xaa)
  await disk.read(bytes, 0)
  return bytes
}

describeDisk('overlay', async () => {
  folder ??= await mkdtemp(join(tmpdir(), 'overlay-'))
  const reference = mixedDisk(4 * 2 ** 20)
  const file = memoryFile(Buffer.from(reference))
  const disk = await over(await raw.open(file, LIMITS))
  for (const [at, length] of [
    [5000, 70_000],
    [2 ** 21 - 1, 2],
    [reference.length - 10, 10]
  ] as const) {
    reference.fill('changed ', at, at + length)
    await disk.write(reference.subarray(at, at + length), at)
  }
  reference.fill(0, 60_000, 1_000_000)
  await disk.zero(60_000, 940_000)
  return { disk, reference, file }
})

type Change = { readonly at: number; readonly length: number; readonly fill: number }

const change: fc.Arbitrary<Change> = fc
  .record({ at: fc.nat(SIZE - 1), length: fc.integer({ min: 0, max: 20_000 }), fill: fc.constantFrom(-1, 0, 7, 9) })
  .map(({ at, length, fill }) => ({ at, length: Math.min(length, SIZE - at), fill }))

/** Below 0 a range is zeroed, else written. */
async function apply(disk: OverlayDisk, { at, length, fill }: Change): Promise<void> {
  if (fill < 0) await disk.zero(at, length)
  else await disk.write(Buffer.alloc(length, fill), at)
}

describe('an overlay', () => {
  it('reads as a plain buffer that was changed the same way, and its extents say so', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 25 }), async (changes) => {
        const base = Buffer.alloc(SIZE)
        base.fill(3, 10_000, 30_000)
        const before = Buffer.from(base)
        const model = Buffer.from(base)
        const written = new Set<number>()
        await using disk = await over(await raw.open(memoryFile(base, [{ offset: 10_000, length: 20_000 }]), LIMITS))

        for (const one of changes) {
          await apply(disk, one)
          model.fill(Math.max(0, one.fill), one.at, one.at + one.length)
          for (let i = one.at; one.fill >= 0 && i < one.at + one.length; i += 1) written.add(i)
        }

        expect((await bytesOf(disk)).equals(model)).toBe(true)
        expect(base.equals(before)).toBe(true)
        expect(disk.storedBytes).toBe(written.size)
        let at = 0
        for (const { offset, length, data } of await extentsOf(disk)) {
          expect(offset).toBe(at)
          at += length
          if (!data) expect(model.subarray(offset, at).every((byte) => byte === 0)).toBe(true)
        }
        expect(at).toBe(SIZE)
      }),
      { numRuns: 200, seed: 11 }
    )
  })

  it('calls zero what was zeroed, and data what was written', async () => {
    await using disk = await overBytes(Buffer.alloc(SIZE, 1))
    await disk.zero(4096, 8192)
    await disk.write(Buffer.alloc(100), 5000)

    expect(await extentsOf(disk)).toEqual([
      { offset: 0, length: 4096, data: true },
      { offset: 4096, length: 904, data: false },
      { offset: 5000, length: 100, data: true },
      { offset: 5100, length: 7188, data: false },
      { offset: 12288, length: SIZE - 12288, data: true }
    ])
  })

  it('gives the same digest for the same changes in any order, in any pieces', async () => {
    const pieces = fc.uniqueArray(fc.integer({ min: 1, max: 30_000 }), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(fc.nat(20_000), pieces, fc.boolean(), async (start, cuts, backwards) => {
        const bytes = Buffer.alloc(30_001, 5)
        bytes.fill(0, 9000, 20_000)
        await using whole = await overBytes(Buffer.alloc(SIZE, 1))
        await whole.write(bytes, start)
        await using cut = await overBytes(Buffer.alloc(SIZE, 1))
        const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
        const parts = edges.slice(1).map((to, i) => ({ from: edges[i] ?? 0, to }))
        for (const { from, to } of backwards ? parts.toReversed() : parts) {
          await cut.write(bytes.subarray(from, to), start + from)
        }
        await cut.zero(start + 9500, 10_000)

        expect(await cut.digest(signal)).toBe(await whole.digest(signal))
      }),
      { numRuns: 60, seed: 3 }
    )
  })

  it.each([
    ['another byte', { at: 6000, length: 1, fill: 8 }],
    ['a byte more', { at: 8096, length: 1, fill: 0 }],
    ['zeros elsewhere', { at: 50_000, length: 4096, fill: -1 }]
  ])('gives another digest for %s', async (_what, more) => {
    await using disk = await overBytes(Buffer.alloc(SIZE, 1))
    const empty = await disk.digest(signal)
    await disk.write(Buffer.alloc(4000, 7), 4096)
    const before = await disk.digest(signal)

    await apply(disk, more)

    expect(new Set([empty, before, await disk.digest(signal)]).size).toBe(3)
  })

  it('refuses changes past its end', async () => {
    await using disk = await overBytes(Buffer.alloc(SIZE, 1))

    await expect(disk.write(Buffer.alloc(2), SIZE - 1)).rejects.toThrow(RangeError)
    await expect(disk.zero(SIZE - 1, 2)).rejects.toThrow(RangeError)
    expect(disk.storedBytes).toBe(0)
  })

  it('takes no file that is there already, and removes its own', async () => {
    const base = await raw.open(memoryFile(Buffer.alloc(SIZE)), LIMITS)
    const path = join(folder, 'own')
    const disk = await createOverlay(base, path)
    await expect(createOverlay(base, path)).rejects.toMatchObject({ code: 'EEXIST' })

    await disk[Symbol.asyncDispose]()

    await expect(access(path)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
