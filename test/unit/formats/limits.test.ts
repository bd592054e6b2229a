import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { GiB, KiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import { packedQcow2 } from '../../../src/formats/packed-qcow2.ts'
import { qcow2 } from '../../../src/formats/qcow2.ts'
import { qcow2Header } from '../../../src/formats/qcow2-header.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { qemuImg } from '../../support/qemu-img.ts'

it.each([...createFormats().values()].map((family) => [family.name, family] as const))(
  'the limit that %s tells is the one it has',
  async (_name, family) => {
    const format = family.choose({})
    const plan = async (virtualSize: number) => {
      const map = await AllocationMap.of(memoryDisk(virtualSize, []))
      return 'layout' in format ? format.layout(map) : format.packing(map)
    }

    await expect(plan(family.maxVirtualSize ?? 4096 * TiB)).resolves.toBeDefined()
    if (family.maxVirtualSize === null) return
    await expect(plan(family.maxVirtualSize + MiB)).rejects.toMatchObject({
      code: 'FORMAT_LIMIT_EXCEEDED',
      message: expect.stringContaining(String(family.maxVirtualSize))
    })
  }
)

describe('qcow2 with small clusters', () => {
  const full = (bytes: number) => AllocationMap.of(memoryDisk(bytes, [{ offset: 0, length: bytes }]))
  const uncompressed = (bits: number) => (map: AllocationMap) => qcow2(bits).layout(map)
  const zstd = (bits: number) => (map: AllocationMap) => packedQcow2({ name: 'zstd', level: 1 }, bits).packing(map)

  it.each([
    ['uncompressed', 512, 125 * GiB, 126 * GiB, uncompressed],
    ['compressed', 512, 124 * GiB, 126 * GiB, zstd],
    ['compressed', KiB, 500 * GiB, 510 * GiB, zstd],
    ['compressed', 4 * KiB, 8000 * GiB, 8191 * GiB, zstd]
  ])(
    '%s, of %i bytes, holds %i bytes of data and refuses %i, whose refcount table nobody could read',
    async (_case, clusterBytes, held, refused, planOf) => {
      const plan = planOf(Math.log2(clusterBytes))

      const [fits, tooMuch] = [await full(held), await full(refused)]

      expect(() => plan(fits)).not.toThrow()
      expect(() => plan(tooMuch)).toThrow(
        expect.objectContaining({
          code: 'FORMAT_LIMIT_EXCEEDED',
          message: `A file above ${2 ** 19 * clusterBytes ** 2} bytes does not fit the format qcow2 with clusters of ${clusterBytes} bytes; choose a larger cluster_size.`
        })
      )
    }
  )

  it('holds little data on a disk that would not fit if it were full', async () => {
    const map = await AllocationMap.of(memoryDisk(128 * GiB, [{ offset: 0, length: GiB }]))

    expect(() => uncompressed(9)(map)).not.toThrow()
    expect(() => zstd(9)(map)).not.toThrow()
  })

  it.each([uncompressed, zstd])(
    'maps 128 GiB with clusters of 512 bytes and no more, compressed or not',
    async (planOf) => {
      const empty = (bytes: number) => AllocationMap.of(memoryDisk(bytes, []))
      const [fits, tooLarge] = [await empty(128 * GiB), await empty(128 * GiB + 512)]

      expect(() => planOf(9)(fits)).not.toThrow()
      expect(() => planOf(9)(tooLarge)).toThrow(expect.objectContaining({ code: 'FORMAT_LIMIT_EXCEEDED' }))
    }
  )

  const MOST = { l1Entries: (32 * MiB) / 8, refcountTableClusters: (8 * MiB) / 512 }
  it.each([
    ['as large as ours may be', {}, undefined],
    [
      'a refcount table that is larger',
      { refcountTableClusters: MOST.refcountTableClusters + 1 },
      'eference count table'
    ],
    ['an L1 table that is larger', { l1Entries: MOST.l1Entries + 1 }, 'L1 table']
  ])('is held to the same limits by qemu: %s', async (_case, change, why) => {
    const folder = await mkdtemp(join(tmpdir(), 'qcow2-limits-'))
    const path = join(folder, 'disk.qcow2')
    const header = {
      clusterBits: 9,
      virtualSize: 128 * GiB,
      refcountTableAt: 512,
      l1At: 16 * MiB,
      zstd: false,
      ...MOST,
      ...change
    }
    try {
      await using file = await open(path, 'w')
      await file.write(qcow2Header(header))
      await file.truncate(64 * MiB)

      const asked = qemuImg('info', path)

      if (why === undefined) expect(await asked).toContain('128 GiB')
      else await expect(asked).rejects.toThrow(why)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
