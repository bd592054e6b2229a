import { crc32c } from '../../../disks/crc32c.ts'
import { extentsOf } from './extents.ts'
import { clearDeleted } from './folder-block.ts'
import { eraseSpares } from './group-head.ts'
import { clearUnused, contentAt, type Fork, readInode } from './inode.ts'
import { type InodeRun, inodeRuns } from './inode-runs.ts'
import { broken, type XfsDevice, XfsVolume } from './volume.ts'

/** Behind it a folder has the index of its names. */
const FOLDER_DATA_BYTES = 32 * 2 ** 30
const CHECKSUM_AT = { inode: 100, folderBlock: 4 } as const

/**
 * Makes zeros of what an xfs holds and does not use, beside the free space that it trims: names that were deleted from folders,
 * what inodes held before, blocks that files have and never wrote, and blocks that groups keep for themselves.
 * @param device with an xfs that its own tools have found sound, and that nothing has mounted
 * @returns bytes of the device that it takes
 * @throws Refused
 */
export async function eraseXfs(device: XfsDevice, signal: AbortSignal): Promise<number> {
  const volume = await XfsVolume.open(device, signal)
  for (let group = 0; group < volume.geometry.groups; group += 1) {
    await eraseSpares(volume, group)
    for await (const run of inodeRuns(volume, group)) await eraseInodes(volume, run)
  }
  await device.flush()
  return volume.geometry.length
}

async function eraseInodes(volume: XfsVolume, { offset, free }: InodeRun): Promise<void> {
  const { inodeBytes } = volume.geometry
  const run = await volume.read(offset, free.length * inodeBytes)
  const before = Buffer.from(run)
  for (const [i, isFree] of free.entries()) {
    const bytes = run.subarray(i * inodeBytes, (i + 1) * inodeBytes)
    if (isFree) bytes.fill(0, contentAt(bytes))
    else await eraseFile(volume, bytes)
    sumUp(volume, bytes, CHECKSUM_AT.inode)
  }
  if (!run.equals(before)) await volume.device.write(run, offset)
}

async function eraseFile(volume: XfsVolume, bytes: Buffer): Promise<void> {
  const inode = readInode(bytes)
  clearUnused(inode)
  if (inode.kind === 'folder') await eraseFolder(volume, inode.data)
  if (inode.kind !== 'file') return
  for await (const { offset, blocks, unwritten } of extentsOf(volume, inode.data)) {
    if (unwritten) await volume.erase(offset, blocks * volume.geometry.blockBytes)
  }
}

/** A folder's block may lie in several pieces. */
async function eraseFolder(volume: XfsVolume, data: Fork): Promise<void> {
  const { blockBytes, folderBlockBytes } = volume.geometry
  const pieces = folderBlockBytes / blockBytes
  let offsets: number[] = []
  for await (const { from, blocks, offset } of extentsOf(volume, data)) {
    if (from * blockBytes >= FOLDER_DATA_BYTES) break
    for (let i = 0; i < blocks; i += 1) {
      if ((from + i) % pieces !== offsets.length) throw broken()
      offsets.push(offset + i * blockBytes)
      if (offsets.length < pieces) continue
      const block = Buffer.concat(await readAll(volume, offsets))
      const before = Buffer.from(block)
      clearDeleted(block, volume.geometry)
      sumUp(volume, block, CHECKSUM_AT.folderBlock)
      if (!block.equals(before)) await writeAll(volume, offsets, block)
      offsets = []
    }
  }
  if (offsets.length > 0) throw broken()
}

async function readAll(volume: XfsVolume, offsets: readonly number[]): Promise<Buffer[]> {
  const read: Buffer[] = []
  for (const offset of offsets) read.push(await volume.read(offset, volume.geometry.blockBytes))
  return read
}

async function writeAll(volume: XfsVolume, offsets: readonly number[], block: Buffer): Promise<void> {
  const { blockBytes } = volume.geometry
  for (const [i, offset] of offsets.entries()) {
    await volume.device.write(block.subarray(i * blockBytes, (i + 1) * blockBytes), offset)
  }
}

/** What was not changed has the same sum again. */
function sumUp({ geometry }: XfsVolume, structure: Buffer, at: number): void {
  if (!geometry.hasSums) return
  structure.writeUInt32LE(0, at)
  structure.writeUInt32LE(crc32c(structure), at)
}
