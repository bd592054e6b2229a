import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import type { FormatOptions } from '../../../src/domain/task.ts'
import { chooseFormat } from '../../../src/formats/format-family.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { CONTENT_HASH } from '../../../src/hashing/content-hash.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { createCompressors } from '../../../src/pipeline/compressors.ts'
import { prepareShipment } from '../../../src/pipeline/shipment.ts'
import { contentHashOf } from '../../support/content-hash.ts'
import { memoryUpload } from '../../support/memory-upload.ts'
import { type MixedRun, mixedDisk } from '../../support/mixed-disk.ts'
import { sendingTo } from '../../support/sending.ts'

const engine = { hashers: createHashers(2), compressors: createCompressors(2), buffers: new Buffers() }
afterAll(() => Promise.all([engine.hashers.close(), engine.compressors.close()]))

const formats = createFormats()
const OPTIONS: Record<string, FormatOptions[]> = {
  qcow2: [
    { compression: 'none', cluster_size: 4 * KiB },
    { compression: 'none', cluster_size: 2 * MiB },
    { compression: 'zlib' },
    { compression: 'zlib', cluster_size: 4 * KiB },
    { compression: 'zstd', cluster_size: 2 * MiB }
  ],
  vhd: [{ subformat: 'fixed' }, { subformat: 'dynamic' }],
  vmdk: [{ subformat: 'monolithicSparse' }, { subformat: 'streamOptimized' }]
}
/** Every format, in every way that reads its disk differently. */
const WAYS = [...formats.keys()].flatMap((name) =>
  (OPTIONS[name] ?? [{}]).flatMap((options) => [true, false].map((anyOrder) => ({ name, options, anyOrder })))
)

type TestDisk = ReturnType<typeof mixedDisk>

async function contentHashIn(way: (typeof WAYS)[number], disk: TestDisk) {
  const family = formats.get(way.name)
  if (!family) throw new Error('no such format')
  const format = chooseFormat(family, way.options)
  const wants = { digests: [], contentHash: true }
  const { signal } = new AbortController()
  using file = await prepareShipment({ disk, format }, way.anyOrder, engine, wants, signal, () => {})
  const parts = way.anyOrder ? { partBytes: 700_000, parallel: 3 } : {}
  const { upload } = memoryUpload(file.length, {
    ...parts,
    put: async (_part, body) => {
      for await (const _dropped of body);
    }
  })
  return (await file.send(sendingTo(upload), () => {})).contentHash
}

async function wholeDisk(disk: TestDisk): Promise<Buffer> {
  const bytes = Buffer.alloc(disk.virtualSize)
  await disk.read(bytes, 0)
  return bytes
}

const sectors = (most: number) => fc.nat(most)
const disks = fc
  .tuple(
    fc.array(
      fc.record({
        gap: sectors(600),
        length: sectors(2_000).map((n) => n + 1),
        kind: fc.constantFrom<MixedRun['kind']>('text', 'noise', 'zeros', 'mixed')
      }),
      { maxLength: 6 }
    ),
    sectors(500).map((n) => n + 1)
  )
  .map(([pieces, rest]) => {
    const runs: MixedRun[] = []
    let at = 0
    for (const { gap, length, kind } of pieces) {
      at += gap * 512
      runs.push({ offset: at, length: length * 512, kind })
      at += length * 512
    }
    return { size: at + rest * 512, runs: runs.filter(({ offset }, i) => offset > (runs[i - 1]?.offset ?? -1)) }
  })

describe('the content hash of a disk', () => {
  it('is the same in every format, and that of its bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        disks,
        fc.shuffledSubarray(WAYS, { minLength: 5, maxLength: 5 }),
        async ({ size, runs }, ways) => {
          const disk = mixedDisk(size, runs)
          const value = contentHashOf(await wholeDisk(disk))
          for (const way of ways) {
            expect([way, await contentHashIn(way, disk)]).toEqual([way, { algo: CONTENT_HASH, value }])
          }
        }
      ),
      { numRuns: 12 }
    )
  })

  it.each(WAYS)('is that of its bytes in %o', async (way) => {
    const disk = mixedDisk(3 * MiB + 512, [
      { offset: 512, length: 100 * KiB, kind: 'text' },
      { offset: MiB - 512, length: 1024, kind: 'noise' },
      { offset: 2 * MiB, length: 300 * KiB, kind: 'zeros' },
      { offset: 3 * MiB, length: 512, kind: 'noise' }
    ])

    expect(await contentHashIn(way, disk)).toEqual({
      algo: CONTENT_HASH,
      value: contentHashOf(await wholeDisk(disk))
    })
  })

  it('takes no second reading of the disk', async () => {
    const disk = mixedDisk(4 * MiB, [{ offset: MiB, length: 2 * MiB, kind: 'noise' }])
    await contentHashIn({ name: 'raw', options: {}, anyOrder: true }, disk)
    await contentHashIn({ name: 'qcow2', options: { compression: 'zlib' }, anyOrder: true }, disk)

    expect(disk.reads.reduce((sum, { length }) => sum + length, 0)).toBe(2 * 2 * MiB)
  })
})
