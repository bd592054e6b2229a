import { describe, expect, it } from 'vitest'
import { crc32c } from '../../../src/disks/crc32c.ts'
import { GiB, KiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import type { Layout } from '../../../src/formats/format.ts'
import { vhdx } from '../../../src/formats/vhdx.ts'
import { describeFormat } from '../../contracts/format.contract.ts'
import { comparedByQemu, layoutOf, metadataOf } from '../../support/sparse-image.ts'

describeFormat('vhdx', vhdx, { qemuFormat: 'vhdx', checkable: true, maxSectors: 16_384, runs: 20 })

const TABLE_AT = 3 * MiB
const farEnd = [
  { offset: 0, length: MiB },
  { offset: TiB - 512, length: 512 }
]
const windows = [0, 4 * GiB - MiB, TiB / 2, TiB - 2 * MiB].map((offset) => ({ offset, length: 2 * MiB }))
const blockBytesOf = (layout: Layout) => metadataOf(layout, 2 * MiB + 64 * KiB, 2 * MiB + 64 * KiB + 4).readUInt32LE()
const entryAt = (layout: Layout, index: number) => {
  const entry = metadataOf(layout, TABLE_AT + index * 8, TABLE_AT + index * 8 + 8).readBigUInt64LE()
  return { state: Number(entry & 7n), at: Number(entry & ~0xf_ffffn) }
}

describe('vhdx layout', () => {
  it.each([
    ['a single sector', 512, []],
    ['an odd number of sectors', 12_345 * 512, [{ offset: 4096 * 512, length: 512 }]],
    ['one sector past a block', 2 * MiB + 512, [{ offset: 2 * MiB, length: 512 }]]
  ])('keeps the exact size and content of %s', async (_case, virtualSize, runs) => {
    expect(await comparedByQemu(vhdx, 'vhdx', virtualSize, runs)).toMatchObject({ 'virtual-size': virtualSize })
  })

  it('keeps the content of a disk behind the entries for sector bitmaps, one every 4 GiB', async () => {
    const runs = [...farEnd.slice(0, 1), { offset: 4 * GiB - 512, length: 1024 }, ...farEnd.slice(1)]
    expect(await comparedByQemu(vhdx, 'vhdx', TiB, runs, windows)).toMatchObject({ 'virtual-size': TiB })
  })

  it('holds two blocks and a table for 1 TiB with two sectors far apart, and finds the last one at once', async () => {
    const layout = await layoutOf(vhdx, TiB, farEnd)
    const lastBlock = TiB / MiB - 1
    const lastEntry = lastBlock + Math.floor(lastBlock / 4096)

    expect(layout.length).toBe(TABLE_AT + 9 * MiB + 2 * MiB)
    expect(entryAt(layout, lastEntry)).toEqual({ state: 6, at: layout.length - MiB })
    expect(entryAt(layout, lastEntry - 1)).toEqual({ state: 2, at: 0 })
    expect(entryAt(layout, 4096)).toEqual({ state: 0, at: 0 })
    expect([...layout.segments(layout.length - 512, layout.length)]).toEqual([
      { kind: 'disk', offset: TiB - 512, length: 512 }
    ])
  })

  it('lets blocks grow with the disk so that the table stays small, up to the 64 TiB of the format', async () => {
    const sizes = [2 * TiB, 2 * TiB + 512, 64 * TiB]
    const layouts = await Promise.all(sizes.map((size) => layoutOf(vhdx, size, [])))
    expect(layouts.map(blockBytesOf)).toEqual([MiB, 2 * MiB, 32 * MiB])
    expect(Math.max(...layouts.map(({ length }) => length))).toBeLessThan(24 * MiB)
    await expect(layoutOf(vhdx, 64 * TiB + 512, [])).rejects.toMatchObject({ code: 'FORMAT_LIMIT_EXCEEDED' })
  })

  it('points past 4 GiB of file by both halves of an entry', async () => {
    const layout = await layoutOf(vhdx, 6 * GiB, [{ offset: 0, length: 6 * GiB }])
    const block = 5 * 1024
    const { state, at } = entryAt(layout, block + 1)
    expect(state).toBe(6)
    expect([...layout.segments(at, at + 512)]).toEqual([{ kind: 'disk', offset: block * MiB, length: 512 }])
  })

  it('has checksums over both headers and both region tables, and nothing in the log', async () => {
    const layout = await layoutOf(vhdx, 100 * MiB, farEnd.slice(0, 1))
    for (const [at, length] of [
      [64 * KiB, 4 * KiB],
      [128 * KiB, 4 * KiB],
      [192 * KiB, 64 * KiB],
      [256 * KiB, 64 * KiB]
    ] as const) {
      const bytes = metadataOf(layout, at, at + length)
      const stated = bytes.readUInt32LE(4)
      bytes.writeUInt32LE(0, 4)
      expect(crc32c(bytes)).toBe(stated)
    }
    const header = metadataOf(layout, 64 * KiB, 68 * KiB)
    expect(header.subarray(48, 64)).toEqual(Buffer.alloc(16))
    expect([...layout.segments(MiB, 2 * MiB)]).toEqual([{ kind: 'zero', length: MiB }])
  })

  it('is the same for the same map, and has other GUIDs for another', async () => {
    const [one, same, other] = await Promise.all([farEnd, [...farEnd], []].map((runs) => layoutOf(vhdx, TiB, runs)))
    const start = (layout: typeof one) => layout && metadataOf(layout, 0, TABLE_AT).toString('hex')
    expect(start(one) === start(same)).toBe(true)
    expect(start(one) === start(other)).toBe(false)
  })
})

it('computes the CRC-32C of RFC 3720', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe306_9283)
  expect(crc32c(new Uint8Array(32))).toBe(0x8a91_36aa)
})
