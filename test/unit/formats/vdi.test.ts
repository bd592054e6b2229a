import { describe, expect, it } from 'vitest'
import { MiB, TiB } from '../../../src/domain/bytes.ts'
import { vdi } from '../../../src/formats/vdi.ts'
import { describeFormat } from '../../contracts/format.contract.ts'
import { comparedByQemu, layoutOf, metadataOf } from '../../support/sparse-image.ts'

describeFormat('vdi', vdi, { qemuFormat: 'vdi', checkable: true, maxSectors: 16_384, runs: 20 })

const HEADER = 512
const farEnd = [
  { offset: 0, length: MiB },
  { offset: TiB - 512, length: 512 }
]

describe('vdi layout', () => {
  it.each([
    ['a single sector', 512, []],
    ['an odd number of sectors', 12_345 * 512, [{ offset: 4096 * 512, length: 512 }]],
    ['one sector past a block', 2 * MiB + 512, [{ offset: 2 * MiB, length: 512 }]],
    ['1 TiB', TiB, farEnd]
  ])('keeps the exact size and content of %s', async (_case, virtualSize, runs) => {
    expect(await comparedByQemu(vdi, 'vdi', virtualSize, runs)).toMatchObject({ 'virtual-size': virtualSize })
  })

  it('holds two blocks and a map for 1 TiB with two sectors far apart, and finds the last one at once', async () => {
    const layout = await layoutOf(vdi, TiB, farEnd)
    const mapBytes = (TiB / MiB) * 4

    expect(layout.length).toBe(HEADER + mapBytes + 2 * MiB)
    expect([...layout.segments(layout.length - 512, layout.length)]).toEqual([
      { kind: 'disk', offset: TiB - 512, length: 512 }
    ])
    expect(metadataOf(layout, HEADER + mapBytes - 8, HEADER + mapBytes)).toEqual(Buffer.from('ffffffff01000000', 'hex'))
  })

  it('takes no more room than qemu gives it: whole sectors, without a gap', async () => {
    const layout = await layoutOf(vdi, 300 * MiB, [{ offset: 7 * MiB, length: 3 * MiB }])
    expect(layout.length).toBe(HEADER + 3 * 512 + 3 * MiB)
  })

  it('has the fields that VirtualBox checks beyond what qemu does', async () => {
    const header = metadataOf(await layoutOf(vdi, TiB, farEnd), 0, HEADER)
    const [image, modification] = [header.toString('hex', 392, 408), header.toString('hex', 408, 424)]

    expect(header.readUInt32LE(72)).toBe(400)
    expect([header.readUInt32LE(360), header.readUInt32LE(468)]).toEqual([512, 512])
    expect(image).toMatch(/^.{14}8.[89ab]/)
    expect(modification).toMatch(/^.{14}8.[89ab]/)
    expect(modification).not.toBe(image)
    expect(header.subarray(424, 456)).toEqual(Buffer.alloc(32))
  })

  it('is the same for the same map, and has other UUIDs for another', async () => {
    const [one, same, other] = await Promise.all([farEnd, [...farEnd], []].map((runs) => layoutOf(vdi, TiB, runs)))
    const header = (layout: typeof one) => layout && metadataOf(layout, 0, HEADER).toString('hex')
    expect(header(one)).toBe(header(same))
    expect(header(one)?.slice(784, 816)).not.toBe(header(other)?.slice(784, 816))
  })

  it('refuses a disk whose block map qemu would not read', async () => {
    const maxBytes = Math.floor((2 ** 31 - 512) / 4) * MiB
    await expect(layoutOf(vdi, maxBytes, [])).resolves.toMatchObject({ length: expect.any(Number) })
    await expect(layoutOf(vdi, maxBytes + 512, [])).rejects.toMatchObject({ code: 'FORMAT_LIMIT_EXCEEDED' })
  })
})
