import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { mixedDisk, type Workshop } from '../disks/workshop.ts'
import { tool } from './tools.ts'

/** Stands in a file that is deleted, many times over. */
export const SECRET = 'the-deleted-secret'

/**
 * Makes an ext file system in a raw file and puts into it what file systems have to offer: many small files, large ones, one
 * with thousands of holes, deep folders, links of both kinds, devices, attributes, and a file with a secret that is then
 * deleted. The tree of `sampleTree` must be there.
 */
export async function makeExt(
  workshop: Workshop,
  name: string,
  mib: number,
  options: readonly string[]
): Promise<string> {
  const path = workshop.path(name)
  await tool('mke2fs', '-q', '-F', '-d', workshop.path('tree'), ...options, path, `${mib}M`)
  await debugfs(workshop, path, [
    `write ${workshop.path('secret')} secret`,
    `write ${workshop.path('attribute')} with-attribute`,
    `ea_set -f ${workshop.path('attribute')} with-attribute user.large`,
    'ea_set with-attribute user.small value',
    'mknod pipe p',
    'mknod device c 1 3',
    'rm secret',
    'rm small/file-7'
  ])
  // Neither mke2fs nor debugfs counts what quotas limit.
  if (options.some((option) => option.includes('quota'))) await tool('e2fsck', '-fy', path).catch(() => {})
  return path
}

/** Runs commands of debugfs on an image; it reports failures on stderr only. */
export async function debugfs(workshop: Workshop, path: string, commands: readonly string[]): Promise<void> {
  const script = await workshop.write(`${basename(path)}-script`, Buffer.from(`${commands.join('\n')}\n`))
  await tool('debugfs', '-w', '-f', script, path)
}

/** Free blocks as e2fsprogs count them. */
export async function freeBlocks(path: string): Promise<{ blockBytes: number; blocks: Set<number> }> {
  const text = await tool('dumpe2fs', path)
  const blockBytes = Number(/^Block size:\s+(\d+)/m.exec(text)?.[1])
  // Of the last cluster in a run only its first block is named.
  const more = Number(/^Cluster size:\s+(\d+)/m.exec(text)?.[1] ?? blockBytes) / blockBytes - 1
  const end = Number(/^Block count:\s+(\d+)/m.exec(text)?.[1])
  const blocks = new Set<number>()
  for (const [, list = ''] of text.matchAll(/^ {2}Free blocks: (.*)$/gm)) {
    for (const run of list.split(', ').filter(Boolean)) {
      const [first = 0, last = first] = run.split('-').map(Number)
      for (let block = first; block <= Math.min(last + more, end - 1); block += 1) blocks.add(block)
    }
  }
  return { blockBytes, blocks }
}

/** Digests of all files of an image by their paths, as e2fsprogs read them. */
export async function contents(workshop: Workshop, path: string): Promise<Record<string, string>> {
  const folder = workshop.path(`dump-${basename(path)}`)
  await mkdir(folder)
  await tool('debugfs', '-R', `rdump / ${folder}`, path)
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
  const digests: Record<string, string> = {}
  for (const { parentPath, name } of files) {
    const bytes = await readFile(join(parentPath, name))
    digests[relative(folder, join(parentPath, name))] = createHash('sha256').update(bytes).digest('hex')
  }
  return digests
}

/** Makes the files that go into file systems, once for each workshop. */
export async function sampleTree(workshop: Workshop): Promise<void> {
  const tree = workshop.path('tree')
  await mkdir(join(tree, 'small'), { recursive: true })
  for (let i = 0; i < 150; i += 1) await writeFile(join(tree, `small/file-${i}`), `file ${i}\n`.repeat(i * 3))
  const deep = join(tree, ...Array.from({ length: 30 }, (_, i) => `level-${i}`))
  await mkdir(deep, { recursive: true })
  await writeFile(join(deep, 'bottom'), 'far down')
  await writeFile(join(tree, 'large'), mixedDisk(3 * 2 ** 20))
  await writeFile(join(tree, 'holes'), withHoles())
  await writeFile(join(tree, 'tiny'), 'x')
  await symlink('tiny', join(tree, 'short-link'))
  await symlink(`./${'long/'.repeat(30)}tiny`, join(tree, 'long-link'))
  await workshop.write('secret', Buffer.alloc(400_000, `${SECRET} `))
  await workshop.write('attribute', Buffer.alloc(700, 'an attribute '))
}

/** Every other stretch of 8 KiB is missing, so that its extents or pointers need blocks of their own. */
function withHoles(): Buffer {
  const bytes = Buffer.alloc(4 * 2 ** 20)
  for (let at = 0; at < bytes.length; at += 2 ** 14) bytes.fill(`stretch ${at} `, at, at + 2 ** 13)
  return bytes
}
