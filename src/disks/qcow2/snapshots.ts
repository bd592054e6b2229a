import { ImageUnsafe } from '../../domain/errors.ts'
import { type Table, tableAt } from '../blocks/table.ts'
import type { RandomAccess } from '../disk.ts'
import type { Header } from './header.ts'

const ENTRY_BYTES = 40
/** qemu's limits (block/qcow2.h). */
const MAX_EXTRA_BYTES = 1024
const MAX_L1_BYTES = 32 * 1024 * 1024

/**
 * Walks the table of internal snapshots, which is not read for its content: a snapshot never leaves. It must be sane all
 * the same, for other programs will open the file.
 * @returns the bytes of the file that the table takes
 */
export async function checkSnapshots(file: RandomAccess, header: Header): Promise<Table> {
  const { count, offset } = header.snapshots
  const entry = Buffer.alloc(ENTRY_BYTES)
  let end = offset
  for (let i = 0; i < count; i += 1) {
    const start = Math.ceil(end / 8) * 8
    if (start + ENTRY_BYTES > file.size) throw new ImageUnsafe('snapshot_table', 'its file ends in the snapshot table')
    await file.read(entry, start)
    const l1Bytes = entry.readUInt32BE(8) * 8
    const extraBytes = entry.readUInt32BE(36)
    const l1 = tableAt(entry.readBigUInt64BE(0), l1Bytes, header.clusterBytes, file.size)
    if (l1Bytes > MAX_L1_BYTES || !l1 || extraBytes > MAX_EXTRA_BYTES) {
      throw new ImageUnsafe('snapshot_entry', 'a snapshot has an impossible table or lies outside the file')
    }
    end = start + ENTRY_BYTES + extraBytes + entry.readUInt16BE(12) + entry.readUInt16BE(14)
  }
  if (end > file.size) throw new ImageUnsafe('snapshot_table', 'its file ends in the snapshot table')
  return { offset, bytes: end - offset }
}
