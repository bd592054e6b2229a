import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MiB } from '../../../src/domain/bytes.ts'
import { Groups } from '../../../src/scrub/filesystems/ext/groups.ts'
import { readSuperblockInUse, type Superblock } from '../../../src/scrub/filesystems/ext/superblock.ts'
import { sourceOf, Volume } from '../../../src/scrub/volume.ts'
import type { Workshop } from '../disks/workshop.ts'
import { debugfs } from './ext-maker.ts'
import { diskAt } from './guest-disk.ts'
import { tool } from './tools.ts'

const BLOCK = 4096
/** Those below are left to mke2fs. */
const FIRST_INODE = 20_000
const HEAD_BYTES = 8
const FILE = 1
const FOLDER = 2

/**
 * Makes an ext4 of a guest with very many files: in /var/log there are as many folders, and in each of them as many files, as
 * are asked for. Nobody calls the kernel or debugfs for each file: the blocks of the folders are written as files, the inodes
 * into the tables, and e2fsck makes a sound file system of it, with an index of hashes for each folder.
 * @param nameOf of the file with this number
 */
export async function makeManyFiles(
  workshop: Workshop,
  name: string,
  mib: number,
  folders: readonly number[],
  nameOf: (file: number) => Buffer
): Promise<string> {
  const path = workshop.path(name)
  const tree = workshop.path(`${name}-tree`)
  await mkdir(join(tree, 'etc'), { recursive: true })
  await mkdir(join(tree, 'var/log'), { recursive: true })
  await writeFile(join(tree, 'etc/os-release'), 'PRETTY_NAME="Many"\n')
  let next = FIRST_INODE
  for (const [i, files] of folders.entries()) {
    await writeFile(join(tree, `var/log/folder-${i}`), folderOf(next, files, nameOf))
    next += files
  }
  const inodes = Math.ceil((next + 1000) / 8192) * 8192
  const options = [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-b',
    String(BLOCK),
    '-O',
    '^metadata_csum,^uninit_bg',
    '-N',
    String(inodes)
  ]
  await tool('mke2fs', ...options, '-d', tree, path, `${mib}M`)
  await rm(tree, { recursive: true })
  await debugfs(
    workshop,
    path,
    folders.flatMap((_, i) => [`sif /var/log/folder-${i} mode 040755`, `sif /var/log/folder-${i} links_count 2`])
  )
  await writeInodes(path, FIRST_INODE, next - FIRST_INODE)
  // It says with its exit code that it has mended something.
  await tool('e2fsck', '-fyD', path).catch(() => {})
  await tool('e2fsck', '-fn', path)
  return path
}

/** The blocks of a folder with files whose inodes follow each other. Who it is and what is above it e2fsck finds out. */
function folderOf(firstInode: number, files: number, nameOf: (file: number) => Buffer): Buffer {
  const blocks: Buffer[] = []
  let block = Buffer.alloc(BLOCK)
  let at = 0
  let last = 0
  const put = (inode: number, name: Buffer, kind: number) => {
    const bytes = HEAD_BYTES + Math.ceil(name.length / 4) * 4
    if (at + bytes > BLOCK) {
      block.writeUInt16LE(BLOCK - last, last + 4)
      blocks.push(block)
      block = Buffer.alloc(BLOCK)
      at = 0
    }
    block.writeUInt32LE(inode, at)
    block.writeUInt16LE(bytes, at + 4)
    block.writeUInt8(name.length, at + 6)
    block.writeUInt8(kind, at + 7)
    name.copy(block, at + HEAD_BYTES)
    last = at
    at += bytes
  }
  put(2, Buffer.from('.'), FOLDER)
  put(2, Buffer.from('..'), FOLDER)
  for (let i = 0; i < files; i += 1) put(firstInode + i, nameOf(i), FILE)
  block.writeUInt16LE(BLOCK - last, last + 4)
  return Buffer.concat([...blocks, block])
}

/** Empty files of root's. */
async function writeInodes(path: string, first: number, count: number): Promise<void> {
  await using disk = await diskAt(path)
  const volume = new Volume(await sourceOf(disk, AbortSignal.timeout(MiB)), 0, disk.virtualSize)
  const sb = await readSuperblockInUse(volume)
  const groups = await Groups.read(volume, sb)
  const inode = emptyFile(sb)
  await using file = await open(path, 'r+')
  for (let at = first - 1; at < first - 1 + count; ) {
    const slot = at % sb.groupInodes
    const here = Math.min(sb.groupInodes - slot, first - 1 + count - at)
    const table = groups.get(Math.floor(at / sb.groupInodes)).inodeTable * sb.blockBytes
    await file.write(Buffer.alloc(here * sb.inodeBytes, inode), 0, here * sb.inodeBytes, table + slot * sb.inodeBytes)
    at += here
  }
}

function emptyFile({ inodeBytes }: Superblock): Buffer {
  const bytes = Buffer.alloc(inodeBytes)
  bytes.writeUInt16LE(0o100644, 0)
  for (const at of [0x8, 0xc, 0x10]) bytes.writeUInt32LE(1_700_000_000, at)
  bytes.writeUInt16LE(1, 0x1a)
  bytes.writeUInt32LE(0x80000, 0x20)
  bytes.writeUInt16LE(0xf30a, 0x28)
  bytes.writeUInt16LE(4, 0x2c)
  bytes.writeUInt16LE(32, 0x80)
  return bytes
}
