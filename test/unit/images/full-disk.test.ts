import { execFileSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { imageId } from '../../../src/domain/ids.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { libraryFiles } from '../../../src/images/library-files.ts'

const hashers = createHashers(2)
afterAll(() => hashers.close())

/** A real file system of 2 MiB, or why there is none here. */
function mountSmall(dir: string): string | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', dir], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : 'mount failed'
  }
}

const dir = mkdtempSync(join(tmpdir(), 'full-disk-'))
const obstacle = mountSmall(dir)
if (obstacle) process.stdout.write(`skipped: a disk that is full (needs the right to mount a tmpfs): ${obstacle}\n`)

afterAll(() => {
  if (!obstacle) execFileSync('umount', [dir])
  rmSync(dir, { recursive: true, force: true })
})

describe.skipIf(obstacle)('a disk that is full', () => {
  const files = libraryFiles({ dir, hashers, uploadOf: async () => undefined })
  const never = new AbortController().signal
  const data = async function* (chunks: number) {
    for (let i = 0; i < chunks; i += 1) yield randomBytes(256 * KiB)
  }

  it('is the operator’s to clear; the upload leaves nothing and the next one fits', async () => {
    const tooMuch = files.write(imageId(randomUUID()), randomUUID(), data(16), 64 * MiB, never)

    await expect(tooMuch).rejects.toMatchObject({ code: 'STORE_FULL', actor: 'operator', permanent: false })
    expect(await readdir(dir)).toEqual([])
    const next = await files.write(imageId(randomUUID()), randomUUID(), data(4), 64 * MiB, never)
    expect(next.size).toBe(MiB)
  })

  it('has room for a disk far larger than itself when that is zeros', async () => {
    const zeros = async function* () {
      for (let i = 0; i < 64; i += 1) yield Buffer.alloc(MiB)
    }

    const stored = await files.write(imageId(randomUUID()), randomUUID(), zeros(), 64 * MiB, never)

    expect(stored).toMatchObject({ size: 64 * MiB, dataRanges: [] })
  })
})
