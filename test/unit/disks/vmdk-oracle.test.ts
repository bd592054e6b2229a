import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { describeDisk, firstDifference } from '../../contracts/disk.contract.ts'
import { RecordedFile } from './recorded-file.ts'
import { mixedDisk, Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 34 }
const SIZE = 5 * 2 ** 20 + 512

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop[Symbol.asyncDispose]()
})

async function open(name: string) {
  const file = new RecordedFile(await openLocalFile(workshop.path(name)))
  return { file, disk: await openDisk(file, 'vmdk', LIMITS, diskReaders()) }
}

type Variant = { size?: number; create: string[]; writes?: string[] }

const sparse = (...more: string[]) => ['-o', ['subformat=monolithicSparse', ...more].join(',')]
const stream = (...more: string[]) => ['-o', ['subformat=streamOptimized', ...more].join(',')]

const VARIANTS: Record<string, Variant> = {
  sparse: { create: sparse() },
  stream: { create: stream() },
  'sparse, one sector': { size: 512, create: sparse() },
  'stream, one sector': { size: 512, create: stream() },
  'sparse, an odd number of bytes': { size: 1_000_001, create: sparse() },
  'stream, an odd number of bytes': { size: 1_000_001, create: stream() },
  'sparse, two grain tables': { size: 33 * 2 ** 20, create: sparse() },
  'stream, two grain tables': { size: 33 * 2 ** 20, create: stream() },
  'sparse, version 6 of VMware': { create: sparse('compat6') },
  'sparse for SCSI': { create: sparse('adapter_type=lsilogic') },
  'sparse, every zero allocated': { create: ['-S', '0', ...sparse()] },
  'sparse, written out of order': { create: ['-W', '-m', '16', ...sparse()] },
  'sparse, zeroed grains': {
    create: sparse('zeroed_grain=on'),
    writes: ['write -z 64k 256k', 'write -P 5 2M 9k', 'write -z 3M 1M', 'write -P 6 3100k 3k']
  },
  'sparse, overwritten': {
    create: sparse(),
    writes: ['write -P 7 130k 700k', 'write -z 2M 1M', 'write -P 8 4999k 70k']
  }
}

for (const [name, { size = SIZE, create, writes }] of Object.entries(VARIANTS)) {
  describeDisk(`vmdk, ${name}`, async () => {
    const image = `${name.replace(/\W+/g, '-')}.vmdk`
    const source = await workshop.write(`${image}.raw`, mixedDisk(size))
    await workshop.qemuImg('convert', '-f', 'raw', '-O', 'vmdk', ...create, source, image)
    if (writes) await workshop.qemuIo(image, writes, 'vmdk')
    return { ...(await open(image)), reference: await workshop.reference(image, 'vmdk') }
  })
}

describeDisk('vmdk, never written to', async () => {
  await workshop.qemuImg('create', '-q', '-f', 'vmdk', 'new.vmdk', '3M')
  return { ...(await open('new.vmdk')), reference: Buffer.alloc(3 * 2 ** 20) }
})

async function made(name: string, content: Buffer, subformat: string[]) {
  const source = await workshop.write(`${name}.raw`, content)
  await workshop.qemuImg('convert', '-f', 'raw', '-O', 'vmdk', ...subformat, source, name)
  return open(name)
}

describe('vmdk', () => {
  it('reads grains that are neighbours in the file at once', async () => {
    const { disk, file } = await made('run.vmdk', Buffer.alloc(2 ** 20, 'data'), sparse())
    await using _ = disk
    await disk.read(Buffer.alloc(1), 0)
    const before = file.reads

    await disk.read(Buffer.alloc(512 * 1024), 1000)

    expect(file.reads - before).toBe(1)
  })

  it('decompresses a grain once for readers of its parts', async () => {
    const { disk, file } = await made('text.vmdk', Buffer.alloc(65536, 'some text'), stream())
    await using _ = disk
    await disk.read(Buffer.alloc(1), 0)
    const before = file.reads

    await Promise.all([1, 2, 3].map((part) => disk.read(Buffer.alloc(4096), part * 4096)))

    expect(file.reads - before).toBe(0)
  })

  it.each([
    ['sparse', sparse()],
    ['stream', stream()]
  ])('tells grains that hold data from those that do not (%s)', async (kind, subformat) => {
    const content = Buffer.alloc(10 * 65536 + 512)
    content.fill('data', 2 * 65536, 4 * 65536 + 1)
    content.fill('data', 10 * 65536)
    const { disk } = await made(`extents-${kind}.vmdk`, content, subformat)
    await using _ = disk

    const found: [sectors: number, data: boolean][] = []
    for await (const { length, data } of disk.extents()) found.push([length / 512, data])

    expect(found).toEqual([
      [256, false],
      [384, true],
      [640, false],
      [1, true]
    ])
  })

  it('reads whatever was written, however it was written', async () => {
    const write = fc.record({
      command: fc.constantFrom('write -P 1', 'write -P 200', 'write -z'),
      start: fc.nat(4095),
      sectors: fc.integer({ min: 1, max: 700 })
    })
    const image = fc.record({ zeroedGrains: fc.boolean(), writes: fc.array(write, { maxLength: 12 }) })
    let number = 0

    const property = fc.asyncProperty(image, async ({ zeroedGrains, writes }) => {
      const name = `property-${number++}.vmdk`
      const options = `zeroed_grain=${zeroedGrains ? 'on' : 'off'}`
      await workshop.qemuImg('create', '-q', '-f', 'vmdk', '-o', options, name, String(4800 * 512))
      const commands = writes.map(({ command, start, sectors }) => `${command} ${start * 512} ${sectors * 512}`)
      await workshop.qemuIo(name, commands, 'vmdk')
      const { disk } = await open(name)
      await using _ = disk
      const target = Buffer.alloc(disk.virtualSize, 0xaa)
      await disk.read(target, 0)

      expect(firstDifference(target, await workshop.reference(name, 'vmdk'))).toBe(-1)
    })

    await fc.assert(property, { numRuns: 15, seed: 7 })
  })
})
