import { describe, expect, it } from 'vitest'
import { GiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import { vhdDynamic } from '../../../src/formats/vhd-dynamic.ts'
import { vhdFixed } from '../../../src/formats/vhd-fixed.ts'
import { describeFormat } from '../../contracts/format.contract.ts'
import { comparedByQemu, layoutOf, metadataOf } from '../../support/sparse-image.ts'

const qemu = { qemuFormat: 'vpc', checkable: false }
describeFormat('vhd fixed', vhdFixed, { ...qemu, maxSectors: 4096, runs: 20 })
describeFormat('vhd dynamic', vhdDynamic, { ...qemu, maxSectors: 16_384, runs: 20, unitBytes: 2 * MiB })

const FOOTER = 512
const BLOCK = 2 * MiB
const BLOCK_WITH_BITMAP = 512 + BLOCK
const farEnd = [
  { offset: 0, length: MiB },
  { offset: TiB - 512, length: 512 }
]

/** As the specification describes it, told by the field. */
const footerOf = (bytes: Buffer) => ({
  cookie: bytes.toString('latin1', 0, 8),
  dataOffset: bytes.readBigUInt64BE(16),
  timestamp: bytes.readUInt32BE(24),
  creator: bytes.toString('latin1', 28, 32),
  size: Number(bytes.readBigUInt64BE(48)),
  geometry: [bytes.readUInt16BE(56), bytes.readUInt8(58), bytes.readUInt8(59)],
  type: bytes.readUInt32BE(60),
  uuid: bytes.toString('hex', 68, 84)
})

describe.each([
  ['fixed', vhdFixed],
  ['dynamic', vhdDynamic]
])('vhd %s', (kind, format) => {
  it.each([
    ['a single sector', 512, []],
    ['an odd number of sectors', 12_345 * 512, [{ offset: 4096 * 512, length: 512 }]],
    ['one sector past a block', 2 * BLOCK + 512, [{ offset: 2 * BLOCK, length: 512 }]],
    ['1 TiB', TiB, farEnd],
    ['more than cylinders, heads and sectors can say', 2040 * GiB, [{ offset: 2040 * GiB - 512, length: 512 }]]
  ])('keeps the exact size of %s', async (_case, virtualSize, runs) => {
    expect(await comparedByQemu(format, 'vpc', virtualSize, runs)).toMatchObject({ 'virtual-size': virtualSize })
  })

  it.each([
    // As qemu-img writes them for 10, 100, 137 and 500 MiB, 10 and 200 GiB, which it rounds up to whole cylinders.
    [10_514_432, [302, 4, 17]],
    [104_865_792, [1004, 12, 17]],
    [143_736_832, [566, 16, 31]],
    [524_353_536, [1016, 16, 63]],
    [10_737_893_376, [20_806, 16, 63]],
    [200 * GiB, [65_535, 16, 255]],
    // The specification's `>=`: 4 heads of 1024 tracks are full.
    [34 * MiB, [140, 16, 31]]
  ])('describes a disk of %d bytes by the same geometry as others do', async (size, geometry) => {
    const layout = await layoutOf(format, size, [])
    const footer = footerOf(metadataOf(layout, layout.length - FOOTER, layout.length))
    expect(footer).toMatchObject({ cookie: 'conectix', timestamp: 0, creator: 'win ', size, geometry })
  })

  it('names no time and no chance: the same map gives the same UUID, another map another', async () => {
    const uuid = async (runs: typeof farEnd) => {
      const layout = await layoutOf(format, TiB, runs)
      return footerOf(metadataOf(layout, layout.length - FOOTER, layout.length)).uuid
    }
    expect(await uuid(farEnd)).toBe(await uuid([...farEnd]))
    expect(await uuid(farEnd)).not.toBe(await uuid([]))
    expect(await uuid(farEnd.slice(0, 1))).not.toBe(await uuid([{ offset: 4 * MiB, length: MiB }]))
    expect(await uuid(farEnd)).toMatch(/^.{12}8...[89ab]/)
  })

  it('refuses a disk above 2040 GiB', async () => {
    await expect(layoutOf(format, 2040 * GiB + 512, [])).rejects.toMatchObject({ code: 'FORMAT_LIMIT_EXCEEDED' })
  })

  it(`is ${kind} by its footer`, async () => {
    const layout = await layoutOf(format, MiB, [])
    expect(footerOf(metadataOf(layout, layout.length - FOOTER, layout.length)).type).toBe(kind === 'fixed' ? 2 : 3)
  })
})

describe('vhd dynamic layout', () => {
  it('holds two blocks and a table for 1 TiB with two sectors far apart, and finds the last one at once', async () => {
    const layout = await layoutOf(vhdDynamic, TiB, farEnd)
    const dataEnd = layout.length - FOOTER

    expect(layout.length).toBe(512 + 1024 + (TiB / BLOCK) * 4 + 2 * BLOCK_WITH_BITMAP + FOOTER)
    expect([...layout.segments(dataEnd - 512, dataEnd)]).toEqual([{ kind: 'disk', offset: TiB - 512, length: 512 }])
  })

  it('begins with the footer that ends it', async () => {
    const layout = await layoutOf(vhdDynamic, TiB, farEnd)
    const start = metadataOf(layout, 0, FOOTER)
    expect(start).toEqual(metadataOf(layout, layout.length - FOOTER, layout.length))
    expect(footerOf(start).dataOffset).toBe(512n)
  })

  it('says of every sector of a block that it is there', async () => {
    const layout = await layoutOf(vhdDynamic, 3 * BLOCK, [{ offset: 2 * BLOCK, length: 512 }])
    const table = metadataOf(layout, 1536, 2048)
    const bitmapAt = table.readUInt32BE(8) * 512

    expect([table.readUInt32BE(0), table.readUInt32BE(4)]).toEqual([0xffff_ffff, 0xffff_ffff])
    expect(metadataOf(layout, bitmapAt, bitmapAt + 512)).toEqual(Buffer.alloc(512, 0xff))
  })

  it('pads a last block that reaches past the disk with zeros', async () => {
    const layout = await layoutOf(vhdDynamic, BLOCK + 512, [{ offset: BLOCK, length: 512 }])
    expect([...layout.segments(2048, layout.length - FOOTER)].slice(1)).toEqual([
      { kind: 'disk', offset: BLOCK, length: 512 },
      { kind: 'zero', length: BLOCK - 512 }
    ])
  })
})
