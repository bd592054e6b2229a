import { copyFile, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk } from '../../../src/disks/disk.ts'
import { TiB } from '../../../src/domain/bytes.ts'
import { Workshop } from '../disks/workshop.ts'
import { debugfs, makeExt, sampleTree } from './ext-maker.ts'
import { diskOf, search, searchLast } from './guest-disk.ts'
import { tool } from './tools.ts'

let workshop: Workshop
const made: Record<string, string> = {}
beforeAll(async () => {
  workshop = await Workshop.open()
  await sampleTree(workshop)
  made.ext4 = await makeExt(workshop, 'ext4', 24, ['-t', 'ext4', '-b', '1024'])
  made.bare = await makeExt(workshop, 'bare', 24, [
    '-t',
    'ext4',
    '-b',
    '1024',
    '-O',
    '^metadata_csum,^uninit_bg,^64bit'
  ])
  made.ext2 = await makeExt(workshop, 'ext2', 24, ['-t', 'ext2', '-b', '1024'])
  made.clusters = await makeExt(workshop, 'clusters', 32, ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '4096'])
})
afterAll(() => workshop[Symbol.asyncDispose]())

/** Says what has become of a copy of an image after commands of debugfs, or after its bytes were changed. */
async function judge(image: string, change: readonly string[] | ((bytes: Buffer) => unknown)) {
  const path = workshop.path('judged')
  await copyFile(made[image] ?? '', path)
  if (typeof change !== 'function') await debugfs(workshop, path, change)
  const bytes = await readFile(path)
  if (typeof change === 'function') change(bytes)
  const { extents, report } = await searchLast(bytes)
  return {
    dropped: extents.bytes,
    freeBytes: report?.freeBytes,
    rule: report?.trusted === false ? report.rule : 'trusted'
  }
}

const refusal = (rule: string) => ({ dropped: 0, freeBytes: 0, rule })

const ask = async (image: string, question: string): Promise<string> =>
  tool('debugfs', '-R', question, made[image] ?? '')

/** All blocks of a file, with those of its tree or pointers. */
const blocksOf = async (image: string, file: string): Promise<number[]> =>
  (await ask(image, `blocks ${file}`)).trim().split(/\s+/).map(Number)

const numberIn = (text: string, pattern: RegExp): number => {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`${pattern} is not in: ${text}`)
  return Number(found)
}

/** Where an inode stands in an image, in bytes. */
async function inodeAt(image: string, file: string): Promise<number> {
  const text = await ask(image, `imap ${file}`)
  return numberIn(text, /located at block (\d+)/) * 1024 + numberIn(text, /offset (0x[0-9a-f]+)/)
}

describe('a bitmap that calls free what is in use', () => {
  const PLACES: readonly (readonly [string, string, (image: string) => Promise<number>])[] = [
    ['a block of a small file', 'ext4', async (image) => (await blocksOf(image, 'small/file-100'))[0] ?? 0],
    ['the last block of a large file', 'ext4', async (image) => (await blocksOf(image, 'large')).at(-1) ?? 0],
    ['a block of a folder', 'ext4', async (image) => (await blocksOf(image, 'small'))[0] ?? 0],
    [
      'a block of an extent tree',
      'ext4',
      async (image) => numberIn(await ask(image, 'ex holes'), /^ 0\/ \d.*?(\d+) {2,}\d+$/m)
    ],
    ['a block of pointers', 'ext2', async (image) => numberIn(await ask(image, 'stat large'), /\(IND\):(\d+)/)],
    [
      'a block of pointers to pointers',
      'ext2',
      async (image) => numberIn(await ask(image, 'stat large'), /\(DIND\):(\d+)/)
    ],
    [
      'a block of attributes',
      'ext4',
      async (image) => numberIn(await ask(image, 'stat with-attribute'), /File ACL: (\d+)/)
    ],
    ['a block of the journal', 'ext4', async (image) => (await blocksOf(image, '<8>'))[50] ?? 0],
    ['a long link', 'ext4', async (image) => (await blocksOf(image, 'long-link'))[0] ?? 0],
    ['a block of inodes', 'ext4', async (image) => numberIn(await ask(image, 'imap <2>'), /block (\d+)/)],
    [
      'the block bitmap itself',
      'ext4',
      async (image) => numberIn(await tool('dumpe2fs', made[image] ?? ''), /Block bitmap at (\d+)/)
    ],
    [
      'a backup of the superblock',
      'ext2',
      async (image) => numberIn(await tool('dumpe2fs', made[image] ?? ''), /Backup superblock at (\d+)/)
    ],
    [
      'a backup of descriptors',
      'ext2',
      async (image) => numberIn(await tool('dumpe2fs', made[image] ?? ''), /Backup superblock at (\d+)/) + 1
    ],
    [
      'a block reserved for descriptors',
      'ext2',
      async (image) => numberIn(await tool('dumpe2fs', made[image] ?? ''), /Reserved GDT blocks at (\d+)/)
    ],
    ['a cluster of a file', 'clusters', async (image) => (await blocksOf(image, 'large'))[9] ?? 0]
  ]

  it.each(PLACES)('%s is found out', async (_what, image, find) => {
    const block = await find(image)
    expect(block).toBeGreaterThan(0)

    expect(await judge(image, [`freeb ${block}`])).toEqual(refusal('bitmap-lies'))
  })

  it('is found out where it says that it was never written', async () => {
    const verdict = await judge('ext4', ['set_bg 0 flags 0x6', 'set_bg 0 checksum calc'])

    expect(verdict).toEqual(refusal('bitmap-lies'))
  })
})

describe('an inode that lives', () => {
  it('is found out where its bitmap calls it free', async () => {
    expect(await judge('ext4', ['freei small/file-100'])).toEqual(refusal('inode-bitmap-lies'))
    expect(await judge('bare', ['freei small/file-100'])).toEqual(refusal('inode-bitmap-lies'))
  })

  it('is found out where its blocks are called free too', async () => {
    const [first, ...rest] = await blocksOf('ext4', 'small/file-100')

    const verdict = await judge('ext4', ['freei small/file-100', `freeb ${first} ${rest.length + 1}`])

    expect(verdict).toEqual(refusal('inode-bitmap-lies'))
  })

  it('is found out where its group says that it never had one', async () => {
    const number = numberIn(await ask('ext4', 'stat small/file-100'), /Inode: (\d+)/)
    const perGroup = numberIn(await tool('dumpe2fs', '-h', made.ext4 ?? ''), /Inodes per group:\s+(\d+)/)
    const group = Math.floor((number - 1) / perGroup)

    const commands = [
      `set_bg ${group} flags 0x5`,
      `set_bg ${group} itable_unused ${perGroup}`,
      `set_bg ${group} checksum calc`
    ]

    expect(await judge('ext4', commands)).toEqual(refusal('inode-bitmap-lies'))
  })
})

describe('what the bitmaps say without truth', () => {
  it.each([
    ['a used block that nobody needs', 'ext4', ['setb 20000'], 'blocks-unreferenced'],
    ['a used cluster that nobody needs', 'clusters', ['setb 30000'], 'blocks-unreferenced'],
    ['an inode that was cleared', 'ext4', ['clri small/file-100'], 'inode-deleted'],
    ['an inode that was deleted', 'ext4', ['sif small/file-100 links_count 0'], 'inode-deleted'],
    ['an inode with a time of deletion', 'ext4', ['sif small/file-100 dtime 1700000000'], 'inode-deleted'],
    ['an inode of no kind', 'ext4', ['sif small/file-100 mode 0x3000'], 'inode-mode'],
    ['a wrong count of free blocks', 'ext4', ['ssv free_blocks_count 77'], 'free-count'],
    ['a wrong count of free inodes', 'ext4', ['ssv free_inodes_count 77'], 'free-count'],
    ['a wrong count in a group', 'ext4', ['set_bg 1 free_blocks_count 7', 'set_bg 1 checksum calc'], 'free-count'],
    ['a block outside', 'ext2', ['sif small/file-100 block[0] 99999999'], 'block-outside'],
    ['a block of another file', 'ext2', ['sif small/file-100 block[0] 24'], 'block-shared']
  ] as const)('is not believed: %s', async (_what, image, commands, rule) => {
    expect(await judge(image, commands)).toEqual(refusal(rule))
  })
})

it('refuses an inode that is marked as used but holds nothing', async () => {
  const at = await inodeAt('bare', 'small/file-100')

  expect(await judge('bare', (bytes) => bytes.fill(0, at, at + 256))).toEqual(refusal('inode-cleared'))
})

describe('a file system that is not at rest', () => {
  it.each([
    ['was not unmounted', ['ssv state 0'], 'mounted'],
    ['has errors', ['ssv state 3'], 'errors'],
    ['has a journal to replay', ['feature needs_recovery'], 'journal-to-replay'],
    ['has deleted files that are open', ['ssv last_orphan 12'], 'orphans'],
    ['has a file of deleted files that are open', ['feature orphan_present'], 'orphans']
  ] as const)('is left alone: it %s', async (_what, commands, rule) => {
    expect(await judge('ext4', commands)).toEqual(refusal(rule))
  })
})

describe('a loop', () => {
  it('in an extent tree ends', async () => {
    const at = await inodeAt('bare', 'holes')
    const tree = numberIn(await ask('bare', 'ex holes'), /^ 0\/ \d.*?(\d+) {2,}\d+$/m)

    const verdict = await judge('bare', (bytes) => {
      // The root becomes one level deeper, and the node below it names itself.
      bytes.writeUInt16LE(2, at + 0x28 + 6)
      bytes.writeUInt16LE(1, at + 0x28 + 2)
      bytes.writeUInt16LE(1, tree * 1024 + 6)
      bytes.writeUInt16LE(1, tree * 1024 + 2)
      bytes.writeUInt32LE(0, tree * 1024 + 12)
      bytes.writeUInt32LE(tree, tree * 1024 + 16)
      bytes.writeUInt16LE(0, tree * 1024 + 20)
    })

    expect(verdict).toEqual(refusal('block-shared'))
  })

  it.each([
    ['pointers', 'IND'],
    ['pointers to pointers', 'DIND']
  ])('in a block of %s ends', async (_what, level) => {
    const block = numberIn(await ask('ext2', 'stat large'), new RegExp(`\\(${level}\\):(\\d+)`))

    const verdict = await judge('ext2', (bytes) => bytes.writeUInt32LE(block, block * 1024 + 40))

    expect(verdict).toEqual(refusal('block-shared'))
  })
})

describe('a superblock', () => {
  const SUPERBLOCK = 1024
  it.each([
    ['of an unknown feature', 0x60, 0x80000000, 'unknown-features'],
    ['of an unknown feature for writers', 0x64, 0x80000000, 'unknown-features'],
    ['with compressed files', 0x60, 0x243, 'unknown-features'],
    ['of a journal only', 0x60, 0x24a, 'unknown-features'],
    ['with shared blocks', 0x64, 0x407b, 'unknown-features'],
    ['larger than its partition', 0x4, 0xffffffff, 'size'],
    ['without blocks', 0x4, 0, 'size'],
    ['with groups of no block', 0x20, 0, 'group-size'],
    ['with groups of an odd size', 0x20, 8191, 'group-size'],
    ['with groups of no inode', 0x28, 0, 'group-size'],
    ['with a million inodes a group', 0x28, 2 ** 20, 'group-size'],
    ['with fewer inodes than groups have', 0, 16, 'inode-count'],
    ['with tiny inodes', 0x58, 64, 'inode-size'],
    ['with inodes larger than blocks', 0x58, 2048, 'inode-size'],
    ['of Hurd', 0x48, 1, 'creator'],
    ['that begins elsewhere', 0x14, 0, 'first-block']
  ])('is refused: %s', async (_what, field, value, rule) => {
    const verdict = await judge('bare', (bytes) => bytes.writeUInt32LE(value, SUPERBLOCK + field))

    expect(verdict).toEqual(refusal(rule))
  })

  it.each([
    ['over two million groups', 2 ** 31 - 2, 'too-large'],
    ['a million groups with tables in one place', 2 ** 20 * 1024 + 1, 'block-shared']
  ])('may promise %s on a large disk', async (_what, blocks, rule) => {
    const bytes = await readFile(made.bare ?? '')
    bytes.writeUInt32LE(blocks, SUPERBLOCK + 0x4)
    bytes.writeUInt32LE(1024, SUPERBLOCK + 0x20)
    bytes.writeUInt32LE(1024, SUPERBLOCK + 0x28)
    bytes.writeUInt32LE(Math.ceil((blocks - 1) / 1024) * 1024, SUPERBLOCK)
    const disk = await diskOf(bytes)
    const large: Disk = {
      virtualSize: 4 * TiB,
      async *extents() {
        yield { offset: 0, length: bytes.length, data: true }
        yield { offset: bytes.length, length: 4 * TiB - bytes.length, data: false }
      },
      read: (target, offset) => disk.read(target, offset),
      [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose]()
    }

    const { extents, report } = await search(large)

    expect(report.partitions).toMatchObject([{ trusted: false, rule }])
    expect(extents.bytes).toBe(0)
  })

  it.each([
    ['the superblock', 1024 + 0x78],
    ['a descriptor', 2048 + 0x10],
    ['an inode', 'inode'],
    ['a bitmap', 'bitmap'],
    ['an extent block', 'extents']
  ])('and everything below it has a checksum that counts: %s', async (_what, place) => {
    const dump = await tool('dumpe2fs', made.ext4 ?? '')
    const places: Record<string, number> = {
      inode: (await inodeAt('ext4', 'large')) + 8,
      bitmap: numberIn(dump, /Inode bitmap at (\d+)/) * 1024 + 1,
      extents: numberIn(await ask('ext4', 'ex holes'), /^ 0\/ \d.*?(\d+) {2,}\d+$/m) * 1024 + 14
    }
    const at = typeof place === 'number' ? place : (places[place] ?? 0)

    const verdict = await judge('ext4', (bytes) => bytes.writeUInt8((bytes[at] ?? 0) ^ 1, at))

    expect(verdict).toEqual(refusal('checksum'))
  })
})

it('takes every one of these images before it is changed', async () => {
  const rules = await Promise.all(
    Object.values(made).map(async (path) => (await searchLast(await readFile(path))).report?.trusted)
  )

  expect(rules).toEqual([true, true, true, true])
})
