import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Range } from '../../src/disks/disk.ts'
import { KiB } from '../../src/domain/bytes.ts'
import { type ImageId, imageId } from '../../src/domain/ids.ts'
import type { ImageSource } from '../../src/images/image-source.ts'

/** One image source with a way to put an image into it. */
export type ImageSourceHarness = AsyncDisposable & {
  readonly source: ImageSource
  store(bytes: Uint8Array): Promise<ImageId>
}

/** The promises of ImageSource and of the RandomAccess that it opens; every implementation runs these. */
export function describeImageSource(name: string, start: () => Promise<ImageSourceHarness>): void {
  describe(`image source: ${name}`, () => {
    const signal = new AbortController().signal
    let harness: ImageSourceHarness
    beforeAll(async () => {
      harness = await start()
    })
    afterAll(() => harness[Symbol.asyncDispose]())

    /** Data, then zeros across a block boundary, then data, and an end that no block ends at. */
    const bytes = Buffer.concat([randomBytes(70 * KiB), Buffer.alloc(300 * KiB), randomBytes(40 * KiB + 13)])
    const openStored = async (content: Uint8Array) => harness.source.open(await harness.store(content), signal)

    it('knows the exact size', async () => {
      await using file = await openStored(bytes)

      expect(file.size).toBe(bytes.length)
    })

    it.each([
      { offset: 0, length: bytes.length },
      { offset: 0, length: 1 },
      { offset: bytes.length - 1, length: 1 },
      { offset: 65 * KiB, length: 10 * KiB },
      { offset: 369 * KiB, length: 2 * KiB },
      { offset: bytes.length, length: 0 }
    ])('fills the target with $length bytes from $offset', async ({ offset, length }) => {
      await using file = await openStored(bytes)
      const target = Buffer.alloc(length, 0xaa)

      await file.read(target, offset)

      expect(target.equals(bytes.subarray(offset, offset + length))).toBe(true)
    })

    it('answers many reads at once, in any order', async () => {
      await using file = await openStored(bytes)
      const offsets = Array.from({ length: 40 }, (_, index) => ((index * 17) % 40) * 10 * KiB)

      const targets = await Promise.all(
        offsets.map(async (offset) => {
          const target = Buffer.alloc(5000)
          await file.read(target, offset)
          return target
        })
      )

      expect(targets.map((target, i) => target.equals(bytes.subarray(offsets[i], (offsets[i] ?? 0) + 5000)))).toEqual(
        offsets.map(() => true)
      )
    })

    it('calls a read past the end a RangeError', async () => {
      await using file = await openStored(bytes)

      await expect(file.read(Buffer.alloc(2), bytes.length - 1)).rejects.toBeInstanceOf(RangeError)
    })

    it('has only zeros outside the ranges of data that it names', async () => {
      await using file = await openStored(bytes)
      const { dataRanges = [{ offset: 0, length: file.size }] } = file

      expect(fromRanges(bytes, dataRanges).equals(bytes)).toBe(true)
      expect(dataRanges.every(({ offset, length }, i) => length > 0 && offset > endOf(dataRanges[i - 1]))).toBe(true)
    })

    it('opens the same image twice', async () => {
      const id = await harness.store(bytes)
      await using one = await harness.source.open(id, signal)
      await using two = await harness.source.open(id, signal)

      expect([one.size, two.size]).toEqual([bytes.length, bytes.length])
    })

    it('does not find an image that is not there', async () => {
      const opened = harness.source.open(imageId(randomUUID()), signal)

      await expect(opened).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    })

    it('does not open for somebody who has given up', async () => {
      const id = await harness.store(bytes)

      const opened = harness.source.open(id, AbortSignal.abort(new Error('given up')))

      await expect(opened).rejects.toThrow('given up')
    })
  })
}

const endOf = (range: Range | undefined): number => (range ? range.offset + range.length : -1)

/** What a reader sees who trusts the ranges: these bytes where there is data, zeros elsewhere. */
function fromRanges(bytes: Uint8Array, ranges: readonly Range[]): Buffer {
  const seen = Buffer.alloc(bytes.length)
  for (const { offset, length } of ranges) seen.set(bytes.subarray(offset, offset + length), offset)
  return seen
}
