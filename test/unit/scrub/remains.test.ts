import { open, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { Workshop } from '../disks/workshop.ts'
import { debugfs } from './ext-maker.ts'
import { scrubFile } from './guest-disk.ts'
import { CLEANING, empty, linuxTree, remove, scrubGuest, secretsIn, wanting } from './linux-guest.ts'
import { describeWithTools, tool } from './tools.ts'

const SIZE_MIB = 40
/** Groups of 4096 blocks of 4 KiB, so that there are copies of the superblock, with room behind them. */
const KINDS: readonly (readonly [string, readonly string[]])[] = [
  ['ext4', ['-t', 'ext4', '-b', '4096', '-g', '4096', '-O', 'orphan_file,metadata_csum_seed']],
  ['ext4 of 1 KiB', ['-t', 'ext4', '-b', '1024']],
  ['ext4 without checksums', ['-t', 'ext4', '-b', '4096', '-g', '4096', '-O', '^metadata_csum,^64bit,uninit_bg']],
  ['ext4 with meta_bg', ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode']],
  ['ext3', ['-t', 'ext3', '-b', '4096', '-g', '4096']],
  ['ext2 of 2 KiB', ['-t', 'ext2', '-b', '2048', '-I', '128']]
]

let workshop: Workshop
let tree: string
beforeAll(async () => {
  workshop = await Workshop.open()
  tree = await linuxTree(workshop.path('tree'))
})
afterAll(() => workshop[Symbol.asyncDispose]())

/**
 * A file system on a disk that somebody else has filled before, lived in with debugfs: with deleted files, folders, links and
 * attributes of all lengths, and what was there before behind the ends of files.
 */
async function livedIn(kind: string, options: readonly string[]): Promise<string> {
  const path = workshop.path(kind.replaceAll(' ', '-'))
  await writeFile(path, Buffer.alloc(SIZE_MIB * MiB, 'SECRET-before '))
  const lazy = ['-E', 'nodiscard,lazy_itable_init=1,lazy_journal_init=1']
  await tool('mke2fs', '-q', '-F', '-d', tree, ...lazy, ...options, path, `${SIZE_MIB}M`)
  const text = async (what: string, times: number) => workshop.write(what, Buffer.from(`SECRET-${what} `.repeat(times)))
  const names = Array.from({ length: 400 }, (_, i) => `SECRET-gone-${i}`)
  const large = await text('large', 20_000)
  const value = await text('value', 40)
  await debugfs(workshop, path, [
    'rm /root/deleted',
    'mkdir /srv/many',
    ...names.map((name) => `symlink /srv/many/${name} SECRET-pointed`),
    `write ${large} /srv/many/stays`,
    ...names.map((name) => `rm /srv/many/${name}`),
    'mkdir /srv/SECRET-folder',
    'rmdir /srv/SECRET-folder',
    `write ${large} /srv/attributes`,
    `ea_set -f ${value} /srv/attributes user.large`,
    'ea_set /srv/attributes user.small SECRET-small',
    `write ${large} /srv/emptied`,
    `ea_set -f ${value} /srv/emptied user.large`,
    `write ${value} /srv/fewer`,
    `ea_set -f ${value} /srv/fewer user.large`,
    'ea_rm /srv/fewer user.large',
    `symlink /srv/long /srv/${'SECRET-longlink/'.repeat(20)}`,
    `symlink /srv/short SECRET-shortlink`
  ])
  await plantBehind(path, '/etc/hostname', 'SECRET-slack')
  await plantBehind(path, '/usr/share/many/file-7', 'SECRET-slack')
  return path
}

/** Writes into the last block of a file, behind its end. */
async function plantBehind(path: string, name: string, text: string): Promise<void> {
  const blocks = await tool('debugfs', '-R', `blocks ${name}`, path)
  const blockBytes = Number(/^Block size:\s+(\d+)/m.exec(await tool('dumpe2fs', '-h', path))?.[1])
  await using file = await open(path, 'r+')
  await file.write(text, Number(blocks.trim().split(/\s+/).at(-1)) * blockBytes + blockBytes - 100)
}

const GOES = wanting(
  remove('/srv/many/stays'),
  remove('/srv/attributes'),
  empty('/srv/emptied'),
  remove('/srv/fewer'),
  remove('/srv/long'),
  remove('/srv/short'),
  remove('/home/user/.aws')
)
describeWithTools(['mke2fs', 'debugfs', 'dumpe2fs', 'e2fsck', 'bwrap'], 'what deleting leaves', () => {
  it.each(KINDS)('is gone from %s, whoever had the disk before', async (kind, options) => {
    const path = await livedIn(kind, options)
    expect(await secretsIn(path)).toEqual(
      expect.arrayContaining(['SECRET-before', 'SECRET-gone', 'SECRET-large', 'SECRET-longlink', 'SECRET-slack'])
    )

    await scrubGuest(path, `${path}-scrubbed`, [GOES, ...CLEANING])

    expect(await secretsIn(`${path}-scrubbed`)).toEqual([])
    await expect(tool('e2fsck', '-fn', `${path}-scrubbed`)).resolves.toContain('files')
    for (const name of ['/etc/hostname', '/usr/share/many/file-7'])
      expect(await tool('debugfs', '-R', `cat ${name}`, `${path}-scrubbed`)).toBe(
        await readFile(`${tree}${name}`, 'utf8')
      )
  })

  it('is gone but for names in folders where no file can be changed', async () => {
    const [kind, options] = KINDS[0] ?? ['', []]
    const path = await livedIn(`unchanged ${kind}`, options)
    await debugfs(workshop, path, ['rm /srv/short'])
    expect(await secretsIn(path)).toEqual(expect.arrayContaining(['SECRET-before', 'SECRET-shortlink']))

    await scrubFile(path, `${path}-scrubbed`)

    const left = await secretsIn(`${path}-scrubbed`)
    for (const gone of ['before', 'slack', 'shortlink', 'deleted', 'pointed'])
      expect(left).not.toContain(`SECRET-${gone}`)
    expect(left).toContain('SECRET-gone')
    await expect(tool('e2fsck', '-fn', `${path}-scrubbed`)).resolves.toContain('files')
  })
})
