import { KiB, MiB } from '../../domain/bytes.ts'
import { ImageUnsafe } from '../../domain/errors.ts'
import { readBytes } from '../blocks/block-disk.ts'
import { type Table, tableAt } from '../blocks/table.ts'
import { hasOwnCrc } from '../crc32c.ts'
import type { RandomAccess } from '../disk.ts'
import { guidAt, NO_GUID } from './guid.ts'

/** Identifier, headers and region tables are in the first MiB; all that follows starts on a whole MiB. */
const HEADER_SECTION_BYTES = MiB

const HEADERS = [64 * KiB, 128 * KiB] as const
const HEADER_BYTES = 4 * KiB

/**
 * Finds the current one of the two headers. A log that was not written back to the tables is refused: what the tables
 * say may be half of a change. Throws ImageUnsafe.
 * @returns where the log lies, which holds nothing then
 * @see https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-vhdx (MS-VHDX 2.2)
 */
export async function readHeader(file: RandomAccess): Promise<Table> {
  if (file.size < HEADER_SECTION_BYTES) throw new ImageUnsafe('truncated', 'its file ends inside the header section')
  const identifier = await readBytes(file, 0, 8)
  if (identifier.toString('latin1') !== 'vhdxfile') throw new ImageUnsafe('magic', 'it is no VHDX file')
  const header = await currentHeader(file)
  if (header.readUInt16LE(66) !== 1) throw new ImageUnsafe('version', 'its VHDX version is not 1')
  if (guidAt(header, 48) !== NO_GUID) {
    const remedy = 'shut down the VM that uses it, or run "qemu-img check -r all" on it, and upload it again'
    throw new ImageUnsafe('log_not_empty', `its log holds changes that are not in its tables yet; ${remedy}`)
  }
  const bytes = header.readUInt32LE(68)
  const log = tableAt(header.readBigUInt64LE(72), bytes, MiB, file.size)
  if (!log || bytes % MiB !== 0) throw new ImageUnsafe('log', 'its log lies outside its file')
  return log
}

/** The valid one with the higher sequence number: each is a safe place while the other is written. */
async function currentHeader(file: RandomAccess): Promise<Buffer> {
  const headers = await Promise.all(HEADERS.map((offset) => readBytes(file, offset, HEADER_BYTES)))
  const valid = headers.filter((header) => header.toString('latin1', 0, 4) === 'head' && hasOwnCrc(header))
  const [first, second] = valid
  if (!first) throw new ImageUnsafe('header', 'neither of its headers is valid')
  if (!second) return first
  const [a, b] = [first.readBigUInt64LE(8), second.readBigUInt64LE(8)]
  // Disk2vhd writes the same header twice.
  if (a === b && !first.equals(second)) throw new ImageUnsafe('header', 'its two headers contradict each other')
  return b > a ? second : first
}
