import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ByteRanges } from '../../../src/scrub/byte-ranges.ts'
import { Workshop } from '../disks/workshop.ts'
import { contents, debugfs, freeBlocks, makeExt, SECRET, sampleTree } from './ext-maker.ts'
import { diskAt, scrubFile, search } from './guest-disk.ts'
import { stands, tool } from './tools.ts'

/** Of mke2fs; the size in MiB. */
const KINDS: readonly (readonly [string, number, string])[] = [
  ['ext4 as it comes', 160, '-t ext4'],
  ['ext4 with 1 KiB blocks', 64, '-t ext4 -b 1024'],
  ['ext4 with 2 KiB blocks and small inodes', 64, '-t ext4 -b 2048 -I 128'],
  ['ext4 with 64 KiB blocks', 256, '-t ext4 -b 65536 -O ^has_journal'],
  ['ext4 of 32 bits', 64, '-t ext4 -O ^64bit'],
  ['ext4 without checksums', 64, '-t ext4 -O ^metadata_csum,^uninit_bg'],
  ['ext4 with checksums of descriptors only', 96, '-t ext4 -g 4096 -O ^metadata_csum,uninit_bg'],
  ['ext4 with a checksum seed of its own', 64, '-t ext4 -O metadata_csum_seed'],
  ['ext4 with clusters', 96, '-t ext4 -O bigalloc -C 65536'],
  ['ext4 with clusters of 1 KiB blocks', 64, '-t ext4 -O bigalloc -b 1024 -C 16384'],
  ['ext4 with descriptors in meta groups', 64, '-t ext4 -O meta_bg,^resize_inode -b 1024'],
  ['ext4 with meta groups of 32 bits', 96, '-t ext4 -O meta_bg,^resize_inode,^64bit -b 1024'],
  ['ext4 with data in inodes', 64, '-t ext4 -O inline_data -I 256'],
  ['ext4 with many small groups', 64, '-t ext4 -b 1024 -g 1024 -O ^resize_inode'],
  ['ext4 without flexible groups', 96, '-t ext4 -g 4096 -O ^flex_bg'],
  ['ext4 with two backups', 96, '-t ext4 -O sparse_super2 -b 1024'],
  ['ext4 with a backup in each group', 64, '-t ext4 -O ^sparse_super,^resize_inode -b 1024'],
  ['ext4 without extents', 64, '-t ext4 -O ^extent,^64bit'],
  ['ext4 without a journal', 64, '-t ext4 -O ^has_journal'],
  ['ext4 with all the rest', 64, '-t ext4 -O quota,project,ea_inode,encrypt,verity,large_dir,orphan_file'],
  ['ext4 whose tables are left for the kernel', 96, '-t ext4 -g 4096 -E lazy_itable_init=1,lazy_journal_init=1'],
  ['ext3', 64, '-t ext3'],
  ['ext2', 64, '-t ext2'],
  ['ext2 of revision 0', 32, '-t ext2 -r 0'],
  ['ext2 that ends in an odd block', 33, '-t ext2 -b 1024 -g 1016']
]

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
  await sampleTree(workshop)
})
afterAll(() => workshop[Symbol.asyncDispose]())

describe.concurrent.each(KINDS)('%s', (name, mib, options) => {
  let path: string
  beforeAll(async () => {
    path = await makeExt(workshop, name.replaceAll(' ', '-'), mib, options.split(' '))
  })

  it('has those blocks free that e2fsprogs call free', async () => {
    await using disk = await diskAt(path)

    const { extents, report } = await search(disk)

    expect(report.partitions).toMatchObject([{ fileSystem: 'ext2/3/4', trusted: true }])
    const { blockBytes, blocks } = await freeBlocks(path)
    expect(blocksIn(extents, blockBytes)).toEqual(blocks)
    expect(blocks.size).toBeGreaterThan(100)
  })

  it('is whole without them, and the deleted file is gone', async () => {
    const scrubbed = `${path}-scrubbed`
    expect(await stands(SECRET, path)).toBe(true)

    await scrubFile(path, scrubbed)

    expect(await stands(SECRET, scrubbed)).toBe(false)
    await expect(tool('e2fsck', '-fn', scrubbed)).resolves.toContain('files')
    const before = await contents(workshop, path)
    expect(Object.keys(before).length).toBeGreaterThan(150)
    expect(await contents(workshop, scrubbed)).toEqual(before)
  })
})

it('keeps the block in which hosts say that they have mounted a file system', async () => {
  const path = workshop.path('shared')
  await tool('mke2fs', '-q', '-F', '-t', 'ext4', '-O', 'mmp', path, '16M')
  await using disk = await diskAt(path)

  const { extents } = await search(disk)

  const { blockBytes, blocks } = await freeBlocks(path)
  expect(blocksIn(extents, blockBytes)).toEqual(blocks)
})

describe('blocks that were allocated but never written to', () => {
  it.each([['ext4'], ['ext4', '-O', '^metadata_csum,^uninit_bg']])('are dropped too: %s', async (...type) => {
    const path = await makeExt(workshop, `ahead-${type.length}`, 64, ['-t', ...type])
    // What was deleted comes back into a file that nobody has written to.
    await debugfs(workshop, path, [
      `write ${workshop.path('secret')} secret`,
      'rm secret',
      `write /dev/null ahead`,
      `fallocate ahead 0 99`,
      `set_inode_field ahead size 409600`
    ])
    expect((await tool('debugfs', '-R', 'ex ahead', path)).includes('Uninit')).toBe(true)
    const scrubbed = `${path}-scrubbed`

    await scrubFile(path, scrubbed)

    expect(await stands(SECRET, path)).toBe(true)
    expect(await stands(SECRET, scrubbed)).toBe(false)
    await expect(tool('e2fsck', '-fn', scrubbed)).resolves.toContain('files')
    expect(await contents(workshop, scrubbed)).toEqual(await contents(workshop, path))
  })
})

function blocksIn(extents: ByteRanges, blockBytes: number): Set<number> {
  const blocks = new Set<number>()
  for (const { offset, length } of extents) {
    expect([offset % blockBytes, length % blockBytes]).toEqual([0, 0])
    for (let at = offset; at < offset + length; at += blockBytes) blocks.add(at / blockBytes)
  }
  return blocks
}
