import { execFile } from 'node:child_process'
import { constants, copyFile, mkdir, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { GiB, MiB } from '../../src/domain/bytes.ts'
import { gptAround, SECTOR } from './gpt.ts'

const run = promisify(execFile)

export type DiskImageOptions = {
  /** Where the raw image goes; replaced when it is there. */
  readonly path: string
  /** Of the whole disk, in MiB. Default 512. */
  readonly sizeMiB?: number
  /** How much is copied into its file system, in MiB at most. Default 100. */
  readonly contentMiB?: number
  /** Folders to copy from, in this order. Those that are not there are passed over. */
  readonly sources?: readonly string[]
}

export type DiskImage = {
  readonly path: string
  readonly sizeBytes: number
  /** What the sparse file occupies. */
  readonly allocatedBytes: number
  readonly files: number
  readonly contentBytes: number
  /** The ext4 partition, for tools that take an offset. */
  readonly partition: { readonly offset: number; readonly length: number }
}

/** Found on every Linux; big files first, so that the usual 100 MiB are made quickly. */
const SOURCES = ['/usr/bin', '/usr/lib/python3', '/usr/share/doc', '/usr/lib']

/**
 * Makes a real disk: a sparse raw file with a GPT and one ext4 partition full of this machine's files.
 * Needs neither root nor loop devices, only `mke2fs`. On one machine, the same options give the same files, UUIDs and layout.
 */
export async function makeDiskImage(options: DiskImageOptions): Promise<DiskImage> {
  const { path, sizeMiB = 512, contentMiB = 100, sources = SOURCES } = options
  const sizeBytes = sizeMiB * MiB
  const partition = { offset: MiB, length: sizeBytes - 2 * MiB }
  if (contentMiB * MiB * 1.1 + 32 * MiB > partition.length) {
    throw new Error(`${contentMiB} MiB of files and their file system do not fit a disk of ${sizeMiB} MiB`)
  }

  const folder = await mkdtemp(join(tmpdir(), 'glance-export-disk-'))
  try {
    const content = await copyUpTo(contentMiB * MiB, sources, folder)
    await writePartitionTable(path, sizeBytes, partition)
    await makeFileSystem(path, partition, folder)
    const { blocks } = await stat(path)
    return { path, sizeBytes, allocatedBytes: blocks * 512, ...content, partition }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Copies readable files, sorted by name, up to `maxBytes`; a file that is too large for the rest is left out. */
async function copyUpTo(maxBytes: number, sources: readonly string[], folder: string) {
  const content = { files: 0, contentBytes: 0 }
  for (const source of sources) {
    const entries = await readdir(source, { recursive: true, withFileTypes: true }).catch(() => [])
    const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
    for (const path of paths.sort()) {
      const left = maxBytes - content.contentBytes
      if (left < MiB / 4) return content
      const { size } = await stat(path)
      if (size > left) continue
      const copy = join(folder, path)
      await mkdir(dirname(copy), { recursive: true })
      const readable = await copyFile(path, copy, constants.COPYFILE_FICLONE).then(
        () => true,
        () => false
      )
      if (!readable) continue
      content.files += 1
      content.contentBytes += size
    }
  }
  return content
}

async function writePartitionTable(path: string, sizeBytes: number, partition: DiskImage['partition']): Promise<void> {
  await rm(path, { force: true })
  await using file = await open(path, 'wx')
  await file.truncate(sizeBytes)
  const { primary, backup } = gptAround(sizeBytes / SECTOR, partition.offset / SECTOR, partition.length / SECTOR)
  await file.write(primary, 0, primary.length, 0)
  await file.write(backup, 0, backup.length, sizeBytes - backup.length)
}

async function makeFileSystem(path: string, partition: DiskImage['partition'], folder: string): Promise<void> {
  const uuid = '5f1b9f4e-6a0c-4d52-9a43-0d1a5c1e2b01'
  const extended = `offset=${partition.offset},hash_seed=${uuid},root_owner=0:0,lazy_itable_init=1`
  const args = ['-q', '-F', '-t', 'ext4', '-L', 'guest', '-U', uuid, '-E', extended, '-d', folder, path]
  // mke2fs lies outside an ordinary user's PATH on Debian.
  const env = { PATH: '/usr/sbin:/sbin:/usr/bin:/bin', LC_ALL: 'C', E2FSPROGS_FAKE_TIME: '1700000000' }
  await run('mke2fs', [...args, `${partition.length / 1024}k`], { env, maxBuffer: GiB })
}
