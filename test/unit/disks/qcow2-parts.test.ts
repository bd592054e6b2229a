import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Allocated } from '../../../src/disks/blocks/allocated.ts'
import { Recent } from '../../../src/disks/blocks/recent.ts'
import { zstdFrameBytes } from '../../../src/disks/qcow2/zstd-frame.ts'

describe('Recent', () => {
  it('lets those who ask at once share one load', async () => {
    const recent = new Recent<string>(2)
    let loads = 0
    const load = async () => `value ${++loads}`

    const values = await Promise.all([recent.get(1, load), recent.get(1, load)])

    expect(values).toEqual(['value 1', 'value 1'])
  })

  it('gives what is there without a promise', async () => {
    const recent = new Recent<string>(2)
    await recent.get(1, async () => 'one')

    expect(recent.get(1, async () => 'another')).toBe('one')
  })

  it('keeps nothing of a load that ends when others have taken its place', async () => {
    const recent = new Recent<string>(1)
    const late = Promise.withResolvers<string>()
    const first = recent.get(1, () => late.promise)
    await recent.get(2, async () => 'two')
    late.resolve('one')

    expect(await first).toBe('one')
    expect(recent.get(2, async () => 'another')).toBe('two')
    expect(await recent.get(1, async () => 'one again')).toBe('one again')
  })

  it('forgets what was used longest ago', async () => {
    const recent = new Recent<number>(2)
    const loaded: number[] = []
    const get = (key: number) => recent.get(key, async () => loaded.push(key))

    for (const key of [1, 2, 1, 3, 1, 2]) await get(key)

    expect(loaded).toEqual([1, 2, 3, 2])
  })

  it('loads again after a failure', async () => {
    const recent = new Recent<string>(2)
    await expect(recent.get(1, () => Promise.reject(new Error('no')))).rejects.toThrow('no')

    expect(await recent.get(1, async () => 'yes')).toBe('yes')
  })
})

describe('Allocated', () => {
  it('tells the same runs as a list of clusters would', () => {
    const tables = fc.array(fc.boolean(), { minLength: 1, maxLength: 4 })
    const runs = fc.array(fc.record({ first: fc.nat(255), count: fc.nat(100) }), { maxLength: 6 })
    const property = fc.property(tables, runs, fc.nat(255), (exists, wanted, from) => {
      const perTable = 64
      const end = exists.length * perTable
      const allocated = new Allocated(Float64Array.from(exists, Number), perTable)
      const list = new Set<number>()
      for (const { first, count } of wanted) {
        for (let cluster = first; cluster < Math.min(first + count, end); cluster += 1) {
          if (!exists[Math.floor(cluster / perTable)]) continue
          allocated.add(cluster)
          list.add(cluster)
        }
      }
      const first = from % end
      let run = first
      while (run < end && list.has(run) === list.has(first)) run += 1

      expect(allocated.has(first)).toBe(list.has(first))
      expect(allocated.runLength(first, end)).toBe(run - first)
    })

    expect(() => fc.assert(property, { seed: 1, numRuns: 500 })).not.toThrow()
  })
})

describe('zstdFrameBytes', () => {
  it('finds the end of a frame in what follows it', () => {
    const property = fc.property(
      fc.uint8Array({ maxLength: 5000 }),
      fc.boolean(),
      fc.nat(4),
      (bytes, repeated, level) => {
        const content = repeated ? Buffer.concat(Array.from({ length: 50 }, () => bytes)) : Buffer.from(bytes)
        const frame = zstdCompressSync(content, { params: { 100: level + 1, 201: level % 2 } })

        expect(zstdFrameBytes(Buffer.concat([frame, Buffer.alloc(511, 0xee)]))).toBe(frame.length)
        expect(() => zstdFrameBytes(frame.subarray(0, frame.length - 1))).toThrow()
      }
    )

    expect(() => fc.assert(property, { seed: 1, numRuns: 200 })).not.toThrow()
  })
})
