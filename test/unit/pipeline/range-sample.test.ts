import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { RangeSample, type SampledRange } from '../../../src/pipeline/range-sample.ts'

const FILE = Buffer.alloc(12 * MiB + 77)
for (let at = 0; at < FILE.length; at += 4) FILE.writeUInt32LE(at % 0xfffffff1, Math.min(at, FILE.length - 4))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Gives the file as a packed one goes out: the head last. */
function sampleOf(file: Buffer, headBytes: number, chunk: number, seed = 'seed'): SampledRange[] {
  const sample = new RangeSample(seed)
  for (const [from, to] of [
    [headBytes, file.length],
    [0, headBytes]
  ] as const) {
    for (let at = from; at < to; at += chunk) sample.take(at, file.subarray(at, Math.min(to, at + chunk)))
  }
  return sample.finish()
}

describe('the sample of a file that cannot be made again', () => {
  it('has true digests of ranges of the file, in order and apart, with both of its ends', () => {
    fc.assert(
      fc.property(fc.nat(FILE.length), fc.integer({ min: 5_000, max: 2 * MiB }), fc.nat(MiB), (length, chunk, head) => {
        const file = FILE.subarray(0, length)
        const ranges = sampleOf(file, Math.min(head, length), chunk)

        for (const { from, to, sha256: told } of ranges) expect(told).toBe(sha256(file.subarray(from, to)))
        expect(ranges.every(({ from, to }, i) => from < to && from >= (ranges[i - 1]?.to ?? 0))).toBe(true)
        if (length > 0) expect([ranges[0]?.from, ranges.at(-1)?.to]).toEqual([0, length])
      }),
      { numRuns: 40 }
    )
  })

  it('is all of a small file', () => {
    const ranges = sampleOf(FILE.subarray(0, MiB + 5), 256 * KiB, 100_000)

    expect(ranges.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(MiB + 5)
  })

  it('is about 32 ranges of a large one, whatever its chunks, and others for another seed', () => {
    const ranges = sampleOf(FILE, 128 * KiB, MiB)

    expect(ranges.length).toBeGreaterThanOrEqual(30)
    expect(ranges.length).toBeLessThanOrEqual(34)
    expect(sampleOf(FILE, 128 * KiB, 7_777)).toEqual(ranges)
    expect(sampleOf(FILE, 128 * KiB, MiB, 'other')).not.toEqual(ranges)
  })
})
