import { expect } from 'vitest'
import { assertBareDisk, openDisk } from '../../../src/disks/inspect.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { ImageUnsafe } from '../../../src/domain/errors.ts'
import { memoryFile } from './recorded-file.ts'

const MOST_BYTES_READ = 8 * MiB
/** FUZZ_MUTANTS takes more of each image for a longer search: the same ones first, as the seed is the same. */
const MUTANTS = Number(process.env.FUZZ_MUTANTS ?? 250)

/**
 * Opens and reads mutants of one image: each is read, or refused as unsafe by a rule of its own, in bounded reads, and nothing
 * else. Gives the rules that refused.
 */
export async function judgeMutants(declared: string, mostReads: number, mutant: () => Buffer): Promise<Set<string>> {
  const rules = new Set<string>()
  let refused = 0
  for (let i = 0; i < MUTANTS; i += 1) {
    const { error, reads } = await tryOut(mutant(), declared)
    if (error !== undefined) {
      expect(error, `mutant ${i}`).toBeInstanceOf(ImageUnsafe)
      expect(error, `mutant ${i}`).not.toMatchObject({ rule: 'unreadable' })
      if (error instanceof ImageUnsafe) rules.add(error.rule)
      refused += 1
    }
    expect(reads, `mutant ${i}`).toBeLessThan(mostReads)
  }
  expect(refused).toBeGreaterThan(MUTANTS / 4)
  expect(refused).toBeLessThan(MUTANTS)
  return rules
}

/** Opens and reads a mutant. Gives what was thrown, and how often its file was read. */
async function tryOut(bytes: Buffer, declared: string): Promise<{ error: unknown; reads: number }> {
  const file = memoryFile(bytes)
  try {
    const disk = await openDisk(file, declared, { maxVirtualSize: 16 * GiB }, diskReaders())
    await assertBareDisk(disk, declared)
    let read = 0
    for await (const { offset, length, data } of disk.extents()) {
      for (let at = offset; data && at < offset + length && read < MOST_BYTES_READ; at += MiB) {
        const target = Buffer.alloc(Math.min(MiB, offset + length - at))
        await disk.read(target, at)
        read += target.length
      }
    }
    return { error: undefined, reads: file.reads }
  } catch (error) {
    return { error, reads: file.reads }
  }
}
