import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { describeDisk, firstDifference } from '../../contracts/disk.contract.ts'
import { RecordedFile } from './recorded-file.ts'
import { mixedDisk, Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 34 }

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop[Symbol.asyncDispose]()
})

async function open(name: string) {
  const file = new RecordedFile(await openLocalFile(workshop.path(name)))
  return { file, disk: await openDisk(file, 'qcow2', LIMITS, diskReaders()) }
}

type Variant = { size: number; create: string[]; change?: (image: string) => Promise<void> }

const SIZE = 5 * 2 ** 20 + 512
const converted = (options: string, ...flags: string[]): Variant => ({ size: SIZE, create: [...flags, '-o', options] })
const changed = (change: (image: string) => Promise<void>, options = 'compat=1.1'): Variant => ({
  size: SIZE,
  create: ['-o', options],
  change
})

const VARIANTS: Record<string, Variant> = {
  'version 2': converted('compat=0.10'),
  'version 3': converted('compat=1.1'),
  'version 2, zlib': converted('compat=0.10', '-c'),
  zlib: converted('compression_type=zlib', '-c'),
  zstd: converted('compression_type=zstd', '-c'),
  'clusters of 512 B': converted('cluster_size=512'),
  'clusters of 512 B, version 2, zlib': converted('cluster_size=512,compat=0.10', '-c'),
  'clusters of 4 KiB, zstd': converted('cluster_size=4k,compression_type=zstd', '-c'),
  'clusters of 2 MiB': converted('cluster_size=2M'),
  'clusters of 2 MiB, zlib': converted('cluster_size=2M', '-c'),
  'clusters of 2 MiB, zstd': converted('cluster_size=2M,compression_type=zstd', '-c'),
  'reference counts of 1 bit': converted('refcount_bits=1'),
  'reference counts of 8 bits, zlib': converted('refcount_bits=8', '-c'),
  'reference counts of 64 bits': converted('refcount_bits=64,cluster_size=512'),
  'preallocated metadata': converted('preallocation=metadata'),
  'preallocated in full': converted('preallocation=full'),
  'lazy reference counts': converted('lazy_refcounts=on'),
  'every zero allocated': converted('compat=1.1', '-S', '0'),
  'written out of order': converted('cluster_size=4k', '-W', '-m', '16'),
  'one sector': { size: 512, create: [] },
  'an odd number of bytes': { size: 1_000_001, create: [] },
  'internal snapshots': changed(async (image) => {
    await workshop.qemuImg('snapshot', '-c', 'first', image)
    await workshop.qemuIo(image, ['write -P 17 100k 300k', 'write -z 1M 1M'])
    await workshop.qemuImg('snapshot', '-c', 'second', image)
    await workshop.qemuIo(image, ['discard 2M 1M', 'write -P 18 3000k 5k'])
  }),
  'a bitmap': changed((image) => workshop.qemuImg('bitmap', '--add', '--enable', image, 'changes')),
  'grown and shrunk again': changed(async (image) => {
    await workshop.qemuImg('resize', '-q', image, '900M')
    await workshop.qemuIo(image, ['write -P 5 800M 1M'])
    await workshop.qemuImg('resize', '-q', '--shrink', image, '4M')
  }),
  'zero clusters, allocated and not': changed((image) =>
    workshop.qemuIo(image, ['write -z 64k 256k', 'write -z -u 1M 512k', 'discard 2M 512k', 'write -P 3 2100k 9k'])
  ),
  'data over compressed clusters': {
    size: SIZE,
    create: ['-c'],
    change: (image) => workshop.qemuIo(image, ['write -P 7 130k 700k', 'write -z 2M 1M', 'discard 3M 128k'])
  }
}

async function make(name: string, variant: Variant): Promise<string> {
  const image = `${name.replace(/\W+/g, '-')}.qcow2`
  const source = await workshop.write(`${image}.raw`, mixedDisk(variant.size))
  await workshop.qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...variant.create, source, image)
  await variant.change?.(image)
  return image
}

for (const [name, variant] of Object.entries(VARIANTS)) {
  describeDisk(`qcow2, ${name}`, async () => {
    const image = await make(name, variant)
    return { ...(await open(image)), reference: await workshop.reference(image) }
  })
}

describeDisk('qcow2, never written to', async () => {
  await workshop.qemuImg('create', '-q', '-f', 'qcow2', 'new.qcow2', '3M')
  return { ...(await open('new.qcow2')), reference: Buffer.alloc(3 * 2 ** 20) }
})

describe('qcow2', () => {
  it('reads clusters that are neighbours in the file at once', async () => {
    await workshop.write('run.raw', Buffer.alloc(2 ** 20, 'data'))
    await workshop.qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'run.raw', 'run.qcow2')
    const { disk, file } = await open('run.qcow2')
    await using _ = disk
    await disk.read(Buffer.alloc(1), 0)
    const before = file.reads

    await disk.read(Buffer.alloc(512 * 1024), 1000)

    expect(file.reads - before).toBe(1)
  })

  it('finds clusters by every part of an L2 table that is kept in slices', async () => {
    await workshop.qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=128k', 'sliced.qcow2', '3G')
    await workshop.qemuIo('sliced.qcow2', ['write -P 1 0 4k', 'write -P 2 1G 4k', 'write -P 3 2047M 4k'])
    const { disk } = await open('sliced.qcow2')
    await using _ = disk

    const found = await Promise.all(
      [0, 2 ** 30, 2047 * 2 ** 20].map(async (offset) => {
        const target = Buffer.alloc(1)
        await disk.read(target, offset)
        return target[0]
      })
    )

    expect(found).toEqual([1, 2, 3])
  })

  it('decompresses a cluster once for readers of its parts', async () => {
    await workshop.write('text.raw', Buffer.alloc(65536, 'some text'))
    await workshop.qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-c', 'text.raw', 'text.qcow2')
    const { disk, file } = await open('text.qcow2')
    await using _ = disk
    await disk.read(Buffer.alloc(1), 0)
    const before = file.reads

    await Promise.all([1, 2, 3].map((part) => disk.read(Buffer.alloc(4096), part * 4096)))

    expect(file.reads - before).toBe(0)
  })

  it('reads whatever was written, however it was written', async () => {
    const write = fc.record({
      command: fc.constantFrom('write -P 1', 'write -P 200', 'write -z', 'write -z -u', 'discard'),
      start: fc.nat(4095),
      sectors: fc.integer({ min: 1, max: 700 })
    })
    const image = fc.record({
      clusterSectors: fc.constantFrom(1, 8, 128, 4096),
      compression: fc.constantFrom('zlib', 'zstd'),
      // Whole clusters, and before all else: qemu compresses only what was not written yet.
      compressed: fc.array(fc.nat(4095), { maxLength: 4 }),
      writes: fc.array(write, { maxLength: 12 })
    })
    let number = 0

    const property = fc.asyncProperty(image, async ({ clusterSectors, compression, compressed, writes }) => {
      const name = `property-${number++}.qcow2`
      const options = `cluster_size=${clusterSectors * 512},compression_type=${compression}`
      await workshop.qemuImg('create', '-q', '-f', 'qcow2', '-o', options, name, String(4800 * 512))
      await workshop.qemuIo(name, [
        ...new Set(
          compressed.map((at) => `write -c -P 5 ${(at - (at % clusterSectors)) * 512} ${clusterSectors * 512}`)
        ),
        ...writes.map(({ command, start, sectors }) => `${command} ${start * 512} ${sectors * 512}`)
      ])
      const { disk } = await open(name)
      await using _ = disk
      const target = Buffer.alloc(disk.virtualSize, 0xaa)
      await disk.read(target, 0)

      expect(firstDifference(target, await workshop.reference(name))).toBe(-1)
    })

    await fc.assert(property, { numRuns: 25, seed: 7 })
  })
})
