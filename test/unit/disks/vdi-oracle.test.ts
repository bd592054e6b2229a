import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { RecordedFile } from './recorded-file.ts'
import { mixedDisk, Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 34 }
const SIZE = 7 * MiB + 512

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop[Symbol.asyncDispose]()
})

async function open(name: string) {
  const file = new RecordedFile(await openLocalFile(workshop.path(name)))
  return { file, disk: await openDisk(file, 'vdi', LIMITS, diskReaders()) }
}

/** Data in the first, third and last block. */
function holes(): Buffer {
  const disk = Buffer.alloc(SIZE)
  disk.fill('one', 1000, 2000)
  disk.fill('three', 2 * MiB, 3 * MiB)
  disk.fill('last', 7 * MiB)
  return disk
}

const VARIANTS: Record<string, { content: Buffer; create?: string[]; writes?: string[] }> = {
  dynamic: { content: mixedDisk(SIZE) },
  fixed: { content: mixedDisk(SIZE), create: ['-o', 'static=on'] },
  'dynamic with holes': { content: holes() },
  'fixed with holes': { content: holes(), create: ['-o', 'static=on'] },
  'one sector': { content: mixedDisk(512) },
  'an odd number of bytes': { content: mixedDisk(1_000_001) },
  'fixed and overwritten': {
    content: holes(),
    create: ['-o', 'static=on'],
    writes: ['write -P 3 5M 1000k', 'write -z 2M 1M']
  },
  'written backwards': {
    content: Buffer.alloc(SIZE),
    writes: ['write -P 3 7M 512', 'write -P 2 5000k 1M', 'write -P 1 1M 9k']
  }
}

for (const [name, { content, create = [], writes }] of Object.entries(VARIANTS)) {
  describeDisk(`vdi, ${name}`, async () => {
    const image = `${name.replace(/\W+/g, '-')}.vdi`
    const source = await workshop.write(`${image}.raw`, content)
    await workshop.qemuImg('convert', '-f', 'raw', '-O', 'vdi', ...create, source, image)
    if (writes) await workshop.qemuIo(image, writes, 'vdi')
    return { ...(await open(image)), reference: await workshop.reference(image, 'vdi') }
  })
}

describeDisk('vdi, never written to', async () => {
  await workshop.qemuImg('create', '-q', '-f', 'vdi', 'new.vdi', '3M')
  return { ...(await open('new.vdi')), reference: Buffer.alloc(3 * MiB) }
})

describe('vdi', () => {
  it('tells blocks that hold data from those that do not', async () => {
    await workshop.write('holes.raw', holes())
    await workshop.qemuImg('convert', '-f', 'raw', '-O', 'vdi', 'holes.raw', 'extents.vdi')
    const { disk } = await open('extents.vdi')
    await using _ = disk

    const found: [length: number, data: boolean][] = []
    for await (const { length, data } of disk.extents()) found.push([length, data])

    expect(found).toEqual([
      [MiB, true],
      [MiB, false],
      [MiB, true],
      [4 * MiB, false],
      [512, true]
    ])
  })

  it('reads blocks that are neighbours in the file at once', async () => {
    await workshop.write('run.raw', Buffer.alloc(5 * MiB, 'data'))
    await workshop.qemuImg('convert', '-f', 'raw', '-O', 'vdi', 'run.raw', 'run.vdi')
    const { disk, file } = await open('run.vdi')
    await using _ = disk
    const before = file.reads

    await disk.read(Buffer.alloc(3 * MiB), 1000)

    expect(file.reads - before).toBe(1)
  })
})
