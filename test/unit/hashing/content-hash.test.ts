import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ContentHash } from '../../../src/hashing/content-hash.ts'
import { contentHashOf } from '../../support/content-hash.ts'

describe('the content hash', () => {
  it('of an empty disk is the SHA-256 of its size alone', () => {
    const size = Buffer.from('0000000040000000', 'hex') // 1 GiB

    expect(new ContentHash(1 << 30).digest()).toBe(createHash('sha256').update(size).digest('hex'))
  })

  it('is what its definition says', () => {
    const disk = Buffer.concat([Buffer.alloc(65_536), Buffer.alloc(65_536, 'a'), Buffer.from('b'.padEnd(512, '\0'))])
    const hash = new ContentHash(disk.length)
    hash.update(0, disk)

    // As a few lines of Python with hashlib compute it.
    expect(hash.digest()).toBe(contentHashOf(disk))
    expect(contentHashOf(disk)).toBe('8ecbf972434a64cc84d9521e5b2a1508c9ba2d64187ab9b3fc04c98c2e9fd0d9')
  })

  it('is the same however the bytes come, and whether zeros come at all', () => {
    const piece = fc.record({
      gap: fc.nat(150_000),
      bytes: fc.nat(200_000),
      value: fc.constantFrom(0, 0, 1, 255),
      skipsZeros: fc.boolean()
    })
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.nat(100_000), (pieces, rest) => {
        const size = pieces.reduce((sum, { gap, bytes }) => sum + gap + bytes, rest)
        const disk = Buffer.alloc(size)
        const hash = new ContentHash(size)
        let at = 0
        for (const { gap, bytes, value, skipsZeros } of pieces) {
          at += gap
          disk.fill(value, at, at + bytes)
          if (value !== 0 || !skipsZeros) hash.update(at, disk.subarray(at, at + bytes))
          at += bytes
        }
        expect(hash.digest()).toBe(contentHashOf(disk))
      }),
      { numRuns: 60 }
    )
  })

  it('is another one of another size, place or byte', () => {
    const of = (size: number, offset: number, byte: number) => {
      const hash = new ContentHash(size)
      hash.update(offset, Buffer.of(byte))
      return hash.digest()
    }
    const hashes = [of(1e6, 0, 1), of(1e6 + 512, 0, 1), of(1e6, 1, 1), of(1e6, 65_536, 1), of(1e6, 0, 2)]

    expect(new Set(hashes).size).toBe(hashes.length)
  })

  it('does not take bytes in another order', () => {
    const hash = new ContentHash(1 << 20)
    hash.update(512, Buffer.alloc(512, 1))

    expect(() => hash.update(0, Buffer.alloc(512, 1))).toThrow('came after')
  })
})

describe('scripts/content-hash.ts', () => {
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../../scripts/content-hash.ts'), ...args])

  it('computes it of a raw file, and of one that was rounded up', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'content-'))
    try {
      const disk = Buffer.alloc(3_000_000)
      disk.fill('x', 70_000, 2_999_999)
      const path = join(folder, 'disk.raw')
      await writeFile(path, disk)
      expect((await run(path)).stdout).toBe(`${contentHashOf(disk)}  sha256-blocks-64k\n`)

      await writeFile(path, Buffer.concat([disk, Buffer.alloc(500_000)]))
      expect((await run('--size', '3000000', path)).stdout).toContain(contentHashOf(disk))
      await expect(run('--size', '2999000', path)).rejects.toMatchObject({ code: 1 })
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
