import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { describeDisk, firstDifference } from '../../contracts/disk.contract.ts'
import { RecordedFile } from './recorded-file.ts'
import { mixedDisk, Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 41 }
const QEMU_NAME = { vhd: 'vpc', vhdx: 'vhdx' } as const
type Format = keyof typeof QEMU_NAME

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop[Symbol.asyncDispose]()
})

async function open(name: string, format: Format) {
  const file = new RecordedFile(await openLocalFile(workshop.path(name)))
  return { file, disk: await openDisk(file, format, LIMITS, diskReaders()) }
}

const MIXED = 5 * 2 ** 20 + 512
const VARIANTS: [format: Format, options: string, size: number][] = [
  ['vhd', 'subformat=dynamic', MIXED],
  ['vhd', 'subformat=dynamic,force_size=on', MIXED],
  ['vhd', 'subformat=fixed', MIXED],
  ['vhd', 'subformat=fixed,force_size=on', MIXED],
  ['vhd', 'subformat=dynamic,force_size=on', 512],
  ['vhd', 'subformat=fixed,force_size=on', 512],
  ['vhd', 'subformat=dynamic', 1_000_001],
  ['vhdx', 'subformat=dynamic', MIXED],
  ['vhdx', 'subformat=fixed', MIXED],
  ['vhdx', 'subformat=dynamic,block_size=1M', MIXED],
  ['vhdx', 'subformat=fixed,block_size=2M,log_size=3M', MIXED],
  ['vhdx', 'subformat=dynamic,block_size=256M', MIXED],
  ['vhdx', 'subformat=dynamic,block_size=1M,block_state_zero=off', MIXED],
  ['vhdx', 'subformat=dynamic', 512],
  ['vhdx', 'subformat=dynamic', 1_000_001]
]

for (const [format, options, size] of VARIANTS) {
  describeDisk(`${format} of ${size} bytes, ${options}`, async () => {
    const image = `${size}-${options}.${format}`
    const source = await workshop.write(`${image}.raw`, mixedDisk(size))
    await workshop.qemuImg('convert', '-f', 'raw', '-O', QEMU_NAME[format], '-o', options, source, image)
    return { ...(await open(image, format)), reference: await workshop.reference(image, QEMU_NAME[format]) }
  })
}

for (const format of ['vhd', 'vhdx'] as const) {
  describeDisk(`${format}, never written to`, async () => {
    const image = `new.${format}`
    await workshop.qemuImg('create', '-q', '-f', QEMU_NAME[format], image, '3M')
    return { ...(await open(image, format)), reference: await workshop.reference(image, QEMU_NAME[format]) }
  })

  describe(format, () => {
    it('reads whatever was written, in whatever order', async () => {
      const write = fc.record({ value: fc.integer({ min: 1, max: 255 }), at: fc.nat(39_000), count: fc.nat(1000) })
      let number = 0

      const property = fc.asyncProperty(fc.array(write, { maxLength: 12 }), async (writes) => {
        const image = `property-${number++}.${format}`
        const options = format === 'vhd' ? 'force_size=on' : 'block_size=1M'
        await workshop.qemuImg('create', '-q', '-f', QEMU_NAME[format], '-o', options, image, String(40_001 * 512))
        const commands = writes.map(({ value, at, count }) => `write -P ${value} ${at * 512} ${(1 + count) * 512}`)
        if (commands.length > 0) await workshop.qemuIo(image, commands, QEMU_NAME[format])
        const { disk } = await open(image, format)
        await using _ = disk
        const target = Buffer.alloc(disk.virtualSize, 0xaa)
        await disk.read(target, 0)

        expect(firstDifference(target, await workshop.reference(image, QEMU_NAME[format]))).toBe(-1)
      })

      await fc.assert(property, { numRuns: 10, seed: 7 })
    })
  })
}

describe('vhd', () => {
  it.each(['100G', '200G', '2040G'])('has the size of %s that qemu gave it', async (size) => {
    const image = `${size}.vhd`
    await workshop.qemuImg('create', '-q', '-f', 'vpc', '-o', 'force_size=on', image, size)
    const { disk } = await open(image, 'vhd')
    await using _ = disk
    const extents = []
    for await (const extent of disk.extents()) extents.push(extent)

    const length = Number.parseInt(size, 10) * 2 ** 30
    expect(extents).toEqual([{ offset: 0, length, data: false }])
  })
})
