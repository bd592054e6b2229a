import { KiB, MiB } from '../../domain/bytes.ts'
import { ImageUnsafe } from '../../domain/errors.ts'
import { readBytes } from '../blocks/block-disk.ts'
import { Metadata } from '../blocks/metadata.ts'
import { type Table, tableAt } from '../blocks/table.ts'
import { hasOwnCrc } from '../crc32c.ts'
import type { RandomAccess } from '../disk.ts'
import { guidAt } from './guid.ts'

export type Regions = {
  readonly bat: Table
  readonly metadata: Table
  /** Header section, log and all regions, in MiB. */
  readonly taken: Metadata
}

const TABLES = [192 * KiB, 256 * KiB] as const
const TABLE_BYTES = 64 * KiB
const ENTRY_BYTES = 32
const MAX_ENTRIES = 2047
const BAT = '2dc27766-f623-4200-9d64-115e9bfd4a08'
const METADATA = '8b7ca206-4790-4b9a-b8fe-575f050f886e'

/**
 * Reads the region table, which exists twice and must be the same. Throws ImageUnsafe.
 * @see MS-VHDX 2.2.3
 */
export async function readRegions(file: RandomAccess, log: Table): Promise<Regions> {
  const [table, copy] = await Promise.all(TABLES.map((offset) => readBytes(file, offset, TABLE_BYTES)))
  if (table?.toString('latin1', 0, 4) !== 'regi' || !hasOwnCrc(table)) {
    throw new ImageUnsafe('region_table', 'its region table is broken')
  }
  if (!copy?.equals(table)) throw new ImageUnsafe('region_table_copy', 'its two region tables differ')
  const count = table.readUInt32LE(8)
  if (count > MAX_ENTRIES) throw new ImageUnsafe('region_count', 'its region table has too many entries')

  const regions = new Map<string, Table>()
  let total = log.bytes
  for (let at = 16; at < 16 + count * ENTRY_BYTES; at += ENTRY_BYTES) {
    const guid = guidAt(table, at)
    const bytes = table.readUInt32LE(at + 24)
    const region = tableAt(table.readBigUInt64LE(at + 16), bytes, MiB, file.size)
    if (!region || bytes === 0 || bytes % MiB !== 0) {
      throw new ImageUnsafe('region_outside', 'a region is no whole MiB or lies outside its file')
    }
    const required = (table.readUInt32LE(at + 28) & 1) !== 0
    if (required && guid !== BAT && guid !== METADATA) {
      throw new ImageUnsafe('region_unknown', 'it needs a region that is not known here')
    }
    if (regions.has(guid)) throw new ImageUnsafe('region_twice', 'its region table has a region twice')
    total += bytes
    if (total > file.size) throw new ImageUnsafe('metadata_overlap', 'its regions are larger than its file')
    regions.set(guid, region)
  }
  const bat = regions.get(BAT)
  const metadata = regions.get(METADATA)
  if (!bat || !metadata) throw new ImageUnsafe('region_missing', 'it has no metadata or no block allocation table')
  return { bat, metadata, taken: Metadata.of(MiB, [log, ...regions.values()]) }
}
