import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ByteRanges } from '../../../src/scrub/byte-ranges.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import { settleJournal } from '../../../src/scrub/fast/journal.ts'
import { Volume } from '../../../src/scrub/volume.ts'
import { Workshop } from '../disks/workshop.ts'
import { debugfs, makeExt, sampleTree } from './ext-maker.ts'
import { diskOf } from './guest-disk.ts'
import { BLOCK, differing, stop } from './stopped.ts'
import { describeWithTools, tool } from './tools.ts'

const signal = AbortSignal.timeout(120_000)

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
  await sampleTree(workshop)
})
afterAll(() => workshop[Symbol.asyncDispose]())

/** What `settleJournal` makes of a file system. */
async function settled(bytes: Buffer): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'journal-'))
  try {
    await using disk = await createOverlay(await diskOf(bytes), join(folder, 'overlay'))
    const data = new ByteRanges(Float64Array.of(0), Float64Array.of(bytes.length))
    await settleJournal(disk, new Volume({ disk, data, signal }, 0, bytes.length))
    const after = Buffer.alloc(bytes.length)
    await disk.read(after, 0)
    return after
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** A file system with changes in its journal. */
async function stopped(
  name: string,
  options: readonly string[],
  transactions: readonly (readonly string[])[],
  open: string
) {
  return stop(workshop, await makeExt(workshop, name, 24, ['-b', `${BLOCK}`, ...options]), transactions, open)
}

/** What e2fsck makes of a copy of it. */
async function oracle(path: string): Promise<Buffer> {
  const copy = `${path}-oracle`
  await copyFile(path, copy)
  await tool('e2fsck', '-p', '-E', 'journal_only', copy).catch(() => {})
  return readFile(copy)
}

const journalBlocks = async (path: string): Promise<Set<number>> =>
  new Set((await tool('debugfs', '-R', 'blocks <8>', path)).trim().split(/\s+/).map(Number))

const TRANSACTIONS = [
  ['rm small/file-100', 'mkdir fresh', `write /etc/hostname fresh/host`],
  ['rm large', 'rm small/file-101'],
  ['mkdir fresh/again', 'mkdir fresh/and-again']
]

describeWithTools(['mke2fs', 'debugfs', 'e2fsck'], 'a journal', () => {
  it.each([
    ['ext4', ['-t', 'ext4'], 'jo'],
    ['ext4 of 32 bits', ['-t', 'ext4', '-O', '^64bit'], 'jo'],
    ['ext4 with old checksums', ['-t', 'ext4', '-O', '^64bit'], 'jo -c -v 2'],
    ['ext4 with old checksums and 64 bits', ['-t', 'ext4'], 'jo -c -v 2'],
    ['ext4 with checksums', ['-t', 'ext4'], 'jo -c'],
    ['ext4 with checksums of 32 bits', ['-t', 'ext4', '-O', '^64bit'], 'jo -c -v 3'],
    ['ext4 without checksums', ['-t', 'ext4', '-O', '^metadata_csum,^64bit'], 'jo'],
    ['ext3', ['-t', 'ext3'], 'jo']
  ] as const)('of %s brings its changes to where e2fsck brings them', async (kind, options, open) => {
    const path = await stopped(kind.replaceAll(' ', '-'), options, TRANSACTIONS, open)
    const before = await readFile(path)
    const journal = await journalBlocks(path)

    const after = await settled(before)

    const expected = await oracle(path)
    const csum = open.includes('-c') ? (open.includes('-v 2') ? 8 : 16) : 0
    expect(before.readUInt32BE(Math.min(...journal) * BLOCK + 0x28) & 24).toBe(csum)
    expect(differing(before, expected).length).toBeGreaterThan(10)
    expect(differing(after, expected).filter((block) => block !== 1 && !journal.has(block))).toEqual([])
    expect(after.readUInt32LE(1024 + 0x60) & 4).toBe(0)
    const file = await workshop.write('settled', after)
    await expect(tool('e2fsck', '-fn', file)).resolves.toContain('files')
  })

  it('holds nothing but its head afterwards', async () => {
    const path = await stopped('emptied', ['-t', 'ext4'], TRANSACTIONS, 'jo')
    const [head, ...others] = [...(await journalBlocks(path))]

    const after = await settled(await readFile(path))

    const block = (number = 0) => after.subarray(number * BLOCK, (number + 1) * BLOCK)
    expect(block(head).readUInt32BE(0)).toBe(0xc03b3998)
    expect(others.length).toBeGreaterThan(1000)
    expect(others.filter((number) => !block(number).every((byte) => byte === 0))).toEqual([])
  })

  it('leaves out what a later transaction has revoked', async () => {
    const path = await makeExt(workshop, 'revoked', 24, ['-t', 'ext4', '-b', `${BLOCK}`])
    const [first = 0, second = 0] = (await tool('debugfs', '-R', 'blocks large', path)).trim().split(/\s+/).map(Number)
    const text = await workshop.write('revoked-text', Buffer.alloc(2 * BLOCK, 'of the journal '))
    await debugfs(workshop, path, ['jo', `jw -b ${first},${second} ${text}`, `jw -r ${first}`, 'jc'])
    const before = await readFile(path)

    const after = await settled(before)

    expect(differing(before, after)).toContain(second)
    expect(differing(before, after)).not.toContain(first)
    expect(differing(after, await oracle(path)).filter((block) => block === first || block === second)).toEqual([])
  })

  it('gives back the first bytes of a block that looked like its own', async () => {
    const path = await makeExt(workshop, 'escaped', 24, ['-t', 'ext4', '-b', `${BLOCK}`])
    const [block = 0] = (await tool('debugfs', '-R', 'blocks large', path)).trim().split(/\s+/).map(Number)
    const content = Buffer.alloc(BLOCK, 'looks like a journal ')
    content.writeUInt32BE(0xc03b3998, 0)
    await debugfs(workshop, path, ['jo', `jw -b ${block} ${await workshop.write('escaped-content', content)}`, 'jc'])

    const after = await settled(await readFile(path))

    expect(after.subarray(block * BLOCK, (block + 1) * BLOCK).equals(content)).toBe(true)
  })

  it('is refused where a block of it is not as it was written', async () => {
    const path = await stopped('torn', ['-t', 'ext4'], TRANSACTIONS, 'jo -c')
    const blocks = [...(await journalBlocks(path))]
    const original = await readFile(path)
    const rules = new Set<string>()
    for (const number of blocks.slice(0, 12)) {
      const bytes = Buffer.from(original)
      bytes.writeUInt8(bytes.readUInt8(number * BLOCK + 0x29) ^ 0xff, number * BLOCK + 0x29)
      rules.add(
        await settled(bytes).then(
          () => 'taken',
          (error) => error.rule
        )
      )
    }

    expect([...rules].sort()).toEqual(['checksum', 'journal-broken'])
  })

  it('is refused where it writes into itself or outside', async () => {
    const path = await makeExt(workshop, 'outside', 24, ['-t', 'ext4', '-b', `${BLOCK}`, '-O', '^metadata_csum'])
    const [, own = 0] = [...(await journalBlocks(path))]
    const text = await workshop.write('outside-text', Buffer.alloc(BLOCK, 'of the journal '))
    await debugfs(workshop, path, ['jo', `jw -b ${own + 20} ${text}`, 'jc'])

    await expect(settled(await readFile(path))).rejects.toMatchObject({ rule: 'journal-outside' })
  })

  it('is refused where it is in more pieces than any that was made in one go', async () => {
    const path = await makeExt(workshop, 'pieces', 24, ['-t', 'ext4', '-b', `${BLOCK}`, '-O', '^has_journal'])
    await debugfs(
      workshop,
      path,
      Array.from({ length: 8000 }, (_, i) => `setb ${8000 + 2 * i}`)
    )
    await tool('tune2fs', '-J', 'size=2', path)

    await expect(settled(await readFile(path))).rejects.toMatchObject({
      rule: 'journal-broken',
      message: 'its journal is in too many pieces'
    })
  })

  it('is refused where it holds more than is kept in memory', async () => {
    const size = ['-J', 'size=8', '-O', '^metadata_csum,^64bit']
    const path = await makeExt(workshop, 'entries', 40, ['-t', 'ext4', '-b', `${BLOCK}`, ...size])
    const blocks = [...(await journalBlocks(path))]
    const bytes = await readFile(path)
    const head = (blocks[0] ?? 0) * BLOCK
    // Revocations of the same block, as many as fit, and no commit.
    for (const number of blocks.slice(1)) {
      const at = number * BLOCK
      for (const [i, value] of [0xc03b3998, 5, 1, BLOCK].entries()) bytes.writeUInt32BE(value, at + 4 * i)
      for (let entry = 16; entry < BLOCK; entry += 4) bytes.writeUInt32BE(9000, at + entry)
    }
    bytes.writeUInt32BE(1, head + 0x18)
    bytes.writeUInt32BE(1, head + 0x1c)
    bytes.writeUInt32LE(bytes.readUInt32LE(1024 + 0x60) | 4, 1024 + 0x60)

    await expect(settled(bytes)).rejects.toMatchObject({ rule: 'journal-too-large' })
  })
})
