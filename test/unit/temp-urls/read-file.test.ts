import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { SourceReadFailed } from '../../../src/domain/errors.ts'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import type { Format } from '../../../src/formats/format.ts'
import { chooseFormat } from '../../../src/formats/format-family.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { readFile } from '../../../src/temp-urls/read-file.ts'
import { memoryDisk } from '../../support/memory-disk.ts'

const hashers = createHashers(1)
const engine = { hashers, buffers: new Buffers() }
afterAll(() => hashers.close())
const never = new AbortController().signal

const DISK_BYTES = 5 * MiB + 512
const RUNS = [
  { offset: 0, length: 70 * KiB },
  { offset: 1 * MiB + 512, length: 900 * KiB },
  { offset: 4 * MiB, length: MiB + 512 }
]
/** Every way to write that needs no compression. */
const FORMATS: [string, object][] = [
  ['raw', {}],
  ['qcow2', {}],
  ['qcow2', { cluster_size: 4096 }],
  ['vmdk', { subformat: 'monolithicSparse' }],
  ['vhd', { subformat: 'fixed' }],
  ['vhd', { subformat: 'dynamic' }],
  ['vhdx', {}],
  ['vdi', {}]
]

async function fileOf(name: string, options: object, disk = memoryDisk(DISK_BYTES, RUNS)) {
  const family = createFormats().get(name)
  if (!family) throw new Error(`no format ${name}`)
  const layout = (chooseFormat(family, options) as Format).layout(await AllocationMap.of(disk))
  return { disk, layout }
}

/** The file by its segments, one after another, without the reader. */
async function assembled({ disk, layout }: Awaited<ReturnType<typeof fileOf>>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for (const segment of layout.segments(0, layout.length)) {
    const piece = segment.kind === 'bytes' ? segment.bytes : Buffer.alloc(segment.length)
    if (segment.kind === 'disk') await disk.read(piece, segment.offset)
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of source) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe.each(FORMATS)('a virtual file of %s %o', (name, options) => {
  it('gives in any range what stands there in the whole', async () => {
    const file = await fileOf(name, options)
    const whole = await assembled(file)
    const { length } = file.layout
    const near = (at: number) => fc.integer({ min: Math.max(0, at - 3), max: Math.min(length, at + 3) })
    const edge = fc.oneof(fc.integer({ min: 0, max: length }), near(0), near(64 * KiB), near(256 * KiB), near(length))

    await fc.assert(
      fc.asyncProperty(edge, edge, async (one, other) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)]
        const bytes = await all(readFile(file, { from, to }, digest(whole), engine, never))
        return bytes.equals(whole.subarray(from, to))
      }),
      { numRuns: 60 }
    )
    expect((await all(readFile(file, { from: 0, to: length }, digest(whole), engine, never))).equals(whole)).toBe(true)
  })
})

describe('reading', () => {
  it('never ends well where the whole is not what was exported any more', async () => {
    const file = await fileOf('qcow2', {})
    const sha256 = digest(await assembled(file))
    const changed = memoryDisk(DISK_BYTES, RUNS)
    const read = changed.read.bind(changed)
    const rotten = {
      ...changed,
      async read(target: Uint8Array, offset: number) {
        await read(target, offset)
        if (offset === 0) target[100] = 0
      }
    }
    let given = 0

    const reading = async () => {
      const source = readFile(
        { layout: file.layout, disk: rotten },
        { from: 0, to: file.layout.length },
        sha256,
        engine,
        never
      )
      for await (const chunk of source) given += chunk.length
    }

    await expect(reading()).rejects.toBeInstanceOf(SourceReadFailed)
    expect(given).toBeGreaterThan(0)
    expect(given).toBeLessThan(file.layout.length)
  })

  it('stops at the signal and asks the disk for little beyond what was taken', async () => {
    const disk = memoryDisk(64 * MiB, [{ offset: 0, length: 64 * MiB }])
    const file = await fileOf('raw', {}, disk)
    const stop = new AbortController()
    const source = readFile(file, { from: 1, to: 64 * MiB }, '', engine, stop.signal)[Symbol.asyncIterator]()

    await source.next()
    await source.next()
    await new Promise((resolve) => setTimeout(resolve, 50))
    const read = disk.reads.reduce((sum, { length }) => sum + length, 0)
    stop.abort(new Error('the client has gone'))

    await expect(source.next()).rejects.toThrow('the client has gone')
    expect(read).toBeLessThanOrEqual(2 * MiB)
    expect(disk.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(2 * MiB)
  })
})
