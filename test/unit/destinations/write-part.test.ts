import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { writePart } from '../../../src/destinations/write-part.ts'
import { KiB, MiB } from '../../../src/domain/bytes.ts'

async function newFile() {
  const folder = await mkdtemp(join(tmpdir(), 'write-part-'))
  const path = join(folder, 'file')
  const file = await open(path, 'w')
  return {
    file,
    path,
    async [Symbol.asyncDispose]() {
      await file.close()
      await rm(folder, { recursive: true })
    }
  }
}

async function* source(chunks: readonly Uint8Array[]) {
  yield* chunks
}

it('leaves holes where there are zeros, at the end too', async () => {
  await using made = await newFile()
  const chunks = [Buffer.alloc(MiB), Buffer.alloc(64 * KiB, 1), Buffer.alloc(40 * MiB), Buffer.alloc(3 * MiB)]

  const end = await writePart(made.file, source(chunks), 0)

  const { size, blocks } = await made.file.stat()
  expect(end).toBe(44 * MiB + 64 * KiB)
  expect(size).toBe(end)
  expect(blocks * 512).toBeLessThan(MiB)
  expect((await readFile(made.path)).equals(Buffer.concat(chunks))).toBe(true)
})

it('writes what it is given, whichever part comes first, and again', async () => {
  const chunk = fc
    .record({ length: fc.integer({ min: 0, max: 9000 }), byte: fc.constantFrom(0, 0, 1), last: fc.constantFrom(0, 1) })
    .map(({ length, byte, last }) => {
      const bytes = Buffer.alloc(length, byte)
      if (length > 0) bytes[length - 1] = last
      return bytes
    })
  const part = fc.array(chunk, { maxLength: 5 })
  const order = fc.array(fc.nat(3), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 4 }), order, async (parts, again) => {
      await using made = await newFile()
      const whole = parts.map((chunks) => Buffer.concat(chunks))
      const offsets = whole.map((_, i) => whole.slice(0, i).reduce((sum, { length }) => sum + length, 0))
      for (const i of [...again.filter((number) => number < parts.length), ...parts.keys()]) {
        await writePart(made.file, source(parts[i] ?? []), offsets[i] ?? 0)
      }
      expect((await readFile(made.path)).equals(Buffer.concat(whole))).toBe(true)
    }),
    { numRuns: 60 }
  )
})
