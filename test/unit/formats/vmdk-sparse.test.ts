import { describe, expect, it } from 'vitest'
import { GiB, KiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import { vmdkSparse } from '../../../src/formats/vmdk-sparse.ts'
import { describeFormat } from '../../contracts/format.contract.ts'
import { comparedByQemu, layoutOf, metadataOf } from '../../support/sparse-image.ts'

// One grain table covers 32 MiB: the larger disks have one and a part of a second.
describeFormat('vmdk', vmdkSparse, { qemuFormat: 'vmdk', checkable: true, maxSectors: 4096, runs: 20 })
describeFormat('vmdk of some grain tables', vmdkSparse, {
  qemuFormat: 'vmdk',
  checkable: true,
  maxSectors: 80_000,
  runs: 5
})

const GRAIN = 64 * KiB
const TABLE_COVERS = 32 * MiB
const farEnd = [
  { offset: 0, length: MiB },
  { offset: TiB - 512, length: 512 }
]
const sector = (header: Buffer, at: number) => Number(header.readBigUInt64LE(at)) * 512

describe('vmdk layout', () => {
  it.each([
    ['a single sector', 512, []],
    ['an odd number of sectors', 12_345 * 512, [{ offset: 4096 * 512, length: 512 }]],
    ['one sector past a grain table', TABLE_COVERS + 512, [{ offset: TABLE_COVERS, length: 512 }]],
    ['directories of more than a sector', 5 * GiB, [{ offset: 4 * GiB + 512, length: 5 * MiB }]]
  ])('keeps the exact size and content of %s', async (_case, virtualSize, runs) => {
    expect(await comparedByQemu(vmdkSparse, 'vmdk', virtualSize, runs)).toMatchObject({ 'virtual-size': virtualSize })
  })

  it('keeps the ends of 1 TiB', async () => {
    const windows = [0, TiB / 2, TiB - 2 * MiB].map((offset) => ({ offset, length: 2 * MiB }))
    expect(await comparedByQemu(vmdkSparse, 'vmdk', TiB, farEnd, windows)).toMatchObject({ 'virtual-size': TiB })
  })

  it('finds the last sector of 1 TiB at once', async () => {
    const layout = await layoutOf(vmdkSparse, TiB, farEnd)
    const tables = TiB / TABLE_COVERS
    const meta = 21 * 512 + 2 * (tables * 4 + tables * 2048)

    expect(layout.length).toBe(Math.ceil(meta / GRAIN) * GRAIN + 17 * GRAIN)
    expect([...layout.segments(layout.length - 512, layout.length)]).toEqual([
      { kind: 'disk', offset: TiB - 512, length: 512 }
    ])
  })

  it('has a redundant directory whose own tables say the same', async () => {
    const runs = [{ offset: 33 * MiB, length: 3 * MiB }]
    const layout = await layoutOf(vmdkSparse, 100 * MiB, runs)
    const header = metadataOf(layout, 0, 512)
    const tableAt = (directory: number) => metadataOf(layout, directory, directory + 16).readUInt32LE(4) * 512
    const [redundant, primary] = [tableAt(sector(header, 48)), tableAt(sector(header, 56))]

    expect(redundant).toBeLessThan(primary)
    expect(metadataOf(layout, redundant, redundant + 2048)).toEqual(metadataOf(layout, primary, primary + 2048))
    expect(metadataOf(layout, primary, primary + 2048).readUInt32LE(16 * 4) * 512).toBe(sector(header, 64))
  })

  it('describes itself without a name, a UUID or a random CID', async () => {
    const layout = await layoutOf(vmdkSparse, 100 * MiB, [])
    const descriptor = metadataOf(layout, 512, 21 * 512)
      .toString('latin1')
      .replace(/\0+$/, '')
    expect(descriptor).toContain('CID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicSparse"\n')
    expect(descriptor).toContain('RW 204800 SPARSE "disk.vmdk"\n')
    expect(descriptor).toContain('ddb.geometry.cylinders = "203"\n')
    expect(descriptor).not.toContain('uuid')
  })

  it('is the same for the same map', async () => {
    const [one, same] = await Promise.all([farEnd, [...farEnd]].map((runs) => layoutOf(vmdkSparse, TiB, runs)))
    const start = (layout: typeof one) => layout && metadataOf(layout, 0, MiB)
    expect(start(one)).toEqual(start(same))
  })

  it('keeps its last grain below the 2 TiB that a table can say, and refuses a larger disk', async () => {
    const full = await layoutOf(vmdkSparse, 2000 * GiB, [{ offset: 0, length: 2000 * GiB }])
    expect(full.length).toBeLessThan(2 * TiB)
    await expect(layoutOf(vmdkSparse, 2000 * GiB + 512, [])).rejects.toMatchObject({ code: 'FORMAT_LIMIT_EXCEEDED' })
  })
})
