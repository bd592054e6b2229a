import { expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { Pages } from '../../../src/scrub/appliance/pages.ts'
import { seededRandom } from '../disks/workshop.ts'

/** Pages over bytes in memory, and how often they were asked. */
function pagesOf(bytes: Buffer) {
  const asked = { load: 0, store: 0 }
  const store = {
    async load(offset: number, length: number) {
      asked.load += 1
      if (offset + length > bytes.length) throw new RangeError('past the end')
      return Buffer.from(bytes.subarray(offset, offset + length))
    },
    async store(from: Uint8Array, offset: number) {
      asked.store += 1
      bytes.set(from, offset)
    }
  }
  return { pages: new Pages(store, bytes.length), asked }
}

it('reads what was written, over the edges of pages and with more of them than are kept', async () => {
  const bytes = Buffer.alloc(40 * MiB + 512, 7)
  const expected = Buffer.from(bytes)
  const { pages } = pagesOf(bytes)
  const random = seededRandom(1)
  const below = (limit: number) => Math.floor(random() * limit)

  for (let i = 0; i < 400; i += 1) {
    const offset = below(bytes.length)
    const length = Math.min(below(3 * MiB), bytes.length - offset)
    const kind = below(3)
    if (kind === 0) {
      const written = Buffer.alloc(Math.min(length, 100 * KiB), i)
      written.copy(expected, offset)
      await pages.write(written, offset)
    } else if (kind === 1) {
      const whole = await pages.zeroEdges({ offset, length })
      expected.fill(0, offset, offset + length)
      bytes.fill(0, whole.offset, whole.offset + whole.length)
    } else {
      const read = Buffer.alloc(length)
      await pages.read(read, offset)
      expect(read.equals(expected.subarray(offset, offset + length)), `read ${i}`).toBe(true)
    }
  }
  await pages.flush()

  expect(bytes.equals(expected)).toBe(true)
})

it('asks for a page once, and stores it once and only where it was changed', async () => {
  const { pages, asked } = pagesOf(Buffer.alloc(4 * MiB))

  for (let at = 0; at < 2 * MiB; at += 4 * KiB) await pages.read(Buffer.alloc(4 * KiB), at)
  for (let at = 0; at < MiB; at += 4 * KiB) await pages.write(Buffer.alloc(KiB, 1), at)
  await pages.flush()
  await pages.flush()

  expect(asked).toEqual({ load: 2, store: 1 })
})

it('is not asked for what lies outside the device', async () => {
  const { pages } = pagesOf(Buffer.alloc(MiB + 512))

  await expect(pages.read(Buffer.alloc(1024), MiB)).rejects.toThrow(RangeError)
  await expect(pages.read(Buffer.alloc(1), 5 * MiB)).rejects.toThrow(RangeError)
})
