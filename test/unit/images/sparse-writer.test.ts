import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { KiB } from '../../../src/domain/bytes.ts'
import { SparseWriter } from '../../../src/images/sparse-writer.ts'

const block = 64 * KiB
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sparse-writer-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

it('keeps a list of bounded length, in which later zeros count as data', async () => {
  const path = join(dir, 'data')
  const bytes = Buffer.alloc(40 * block)
  for (const data of [1, 3, 5, 30, 38]) bytes[data * block] = 1

  await using file = await open(path, 'wx')
  const sparse = new SparseWriter(file, 3)
  await sparse.write(bytes)
  const ranges = await sparse.finish()

  expect(ranges).toEqual([
    { offset: block, length: block },
    { offset: 3 * block, length: block },
    { offset: 5 * block, length: 34 * block }
  ])
  expect((await readFile(path)).equals(bytes)).toBe(true)
})
