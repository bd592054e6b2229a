import { open } from 'node:fs/promises'
import type { Disk } from '../../../src/disks/disk.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { raw } from '../../../src/disks/raw.ts'
import { TiB } from '../../../src/domain/bytes.ts'
import { fileSystems } from '../../../src/scrub/filesystems/registry.ts'
import { type FreeSpace, freeSpace, type GapPolicy } from '../../../src/scrub/free-space.ts'
import { ZeroedDisk } from '../../../src/scrub/zeroed-disk.ts'
import { memoryFile } from '../disks/recorded-file.ts'

export const KEEP_GAPS: GapPolicy = { gaps: 'keep', bootGap: 'keep' }
const CHUNK_BYTES = 2 ** 22
const LIMITS = { maxVirtualSize: 256 * TiB }

/** The disk that bytes in memory are. */
export const diskOf = (bytes: Buffer): Promise<Disk> => raw.open(memoryFile(bytes), LIMITS)

/** The disk that a raw file is. */
export const diskAt = async (path: string): Promise<Disk> => raw.open(await openLocalFile(path), LIMITS)

export const search = (disk: Disk, policy: GapPolicy = KEEP_GAPS): Promise<FreeSpace> =>
  freeSpace(disk, policy, fileSystems(), AbortSignal.timeout(60_000))

/** Searches a disk that is one volume, or has one partition that matters, and gives what is said of its last one. */
export async function searchLast(bytes: Buffer) {
  await using disk = await diskOf(bytes)
  const { extents, report } = await search(disk)
  return { extents, report: report.partitions.at(-1) }
}

/** Writes a raw file without what nothing needs, as an export does. */
export async function scrubFile(path: string, scrubbed: string, policy: GapPolicy = KEEP_GAPS): Promise<FreeSpace> {
  await using below = await diskAt(path)
  const found = await search(below, policy)
  await writeDisk(new ZeroedDisk(below, found.extents, found.remains), scrubbed)
  return found
}

/** Writes a disk as a raw file. */
export async function writeDisk(disk: Disk, path: string): Promise<void> {
  await using target = await open(path, 'w')
  await target.truncate(disk.virtualSize)
  for await (const { offset, length, data } of disk.extents()) {
    for (let at = offset; data && at < offset + length; at += CHUNK_BYTES) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, offset + length - at))
      await disk.read(chunk, at)
      await target.write(chunk, 0, chunk.length, at)
    }
  }
}
