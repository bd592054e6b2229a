import { isPowerOfTwo, KiB, MiB, TiB } from '../../domain/bytes.ts'
import { ImageUnsafe } from '../../domain/errors.ts'
import { readBytes } from '../blocks/block-disk.ts'
import type { Table } from '../blocks/table.ts'
import { checkVirtualSize } from '../bounds.ts'
import type { DiskLimits, RandomAccess } from '../disk.ts'
import { guidAt } from './guid.ts'

/** The disk's measures, checked. */
export type Measures = {
  /** A power of two, 1 MiB to 256 MiB. */
  readonly blockBytes: number
  readonly virtualSize: number
  /** 512 or 4096: what the guest calls a sector. */
  readonly sectorBytes: number
}

const TABLE_BYTES = 64 * KiB
const ENTRY_BYTES = 32
const MAX_ENTRIES = 2047
const MAX_ITEM_BYTES = MiB
const MAX_VIRTUAL_SIZE = 64 * TiB

const IS_USER = 1
const IS_REQUIRED = 4
const HAS_PARENT = 2

const PARENT_LOCATOR = 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c'
/** Every disk has these items, in just so many bytes. */
const ITEM_BYTES = {
  'caa16737-fa36-4d43-b3b6-33f0aa44e76b': 8,
  '2fa54224-cd1b-4876-b211-5dbed83bf4b8': 8,
  'beca12ab-b2e6-4523-93ef-c309e000c746': 16,
  '8141bf1d-a96f-4709-ba47-f233a8faab5f': 4,
  'cda348c7-445d-4471-9cc9-e9885251c556': 4
} as const
type Item = keyof typeof ITEM_BYTES
const FILE_PARAMETERS: Item = 'caa16737-fa36-4d43-b3b6-33f0aa44e76b'
const VIRTUAL_DISK_SIZE: Item = '2fa54224-cd1b-4876-b211-5dbed83bf4b8'
const LOGICAL_SECTOR_SIZE: Item = '8141bf1d-a96f-4709-ba47-f233a8faab5f'
const PHYSICAL_SECTOR_SIZE: Item = 'cda348c7-445d-4471-9cc9-e9885251c556'

/**
 * Reads the metadata region: a table in its first 64 KiB, its items after it. Throws ImageUnsafe.
 * @see MS-VHDX 2.6
 */
export async function readMeasures(file: RandomAccess, region: Table, limits: DiskLimits): Promise<Measures> {
  const items = await findItems(file, region)
  const read = async (item: Item): Promise<Buffer> => {
    const offset = items.get(item)
    if (offset === undefined)
      throw new ImageUnsafe('metadata_missing', 'a metadata item that every disk has is missing')
    return readBytes(file, region.offset + offset, ITEM_BYTES[item])
  }
  await Promise.all(Object.keys(ITEM_BYTES).filter(isItem).map(read))

  const parameters = await read(FILE_PARAMETERS)
  if ((parameters.readUInt32LE(4) & HAS_PARENT) !== 0) throw new ImageUnsafe('backing_file', 'it needs a parent')
  const blockBytes = parameters.readUInt32LE(0)
  if (blockBytes < MiB || blockBytes > 256 * MiB || !isPowerOfTwo(blockBytes)) {
    throw new ImageUnsafe('block_size', 'its blocks are no power of two from 1 MiB to 256 MiB')
  }
  const sectorBytes = (await read(LOGICAL_SECTOR_SIZE)).readUInt32LE(0)
  const physical = (await read(PHYSICAL_SECTOR_SIZE)).readUInt32LE(0)
  if (![512, 4096].includes(sectorBytes) || ![512, 4096].includes(physical)) {
    throw new ImageUnsafe('sector_size', 'its sectors are neither 512 nor 4096 bytes')
  }
  const size = (await read(VIRTUAL_DISK_SIZE)).readBigUInt64LE(0)
  if (size > BigInt(MAX_VIRTUAL_SIZE)) throw new ImageUnsafe('virtual_size_limit', 'its disk is larger than 64 TiB')
  if (size % BigInt(sectorBytes) !== 0n) throw new ImageUnsafe('virtual_size', 'its disk ends inside a sector')
  return { blockBytes, virtualSize: checkVirtualSize(Number(size), limits), sectorBytes }
}

const isItem = (guid: string): guid is Item => Object.hasOwn(ITEM_BYTES, guid)

/** Offsets of the items in the region. */
async function findItems(file: RandomAccess, region: Table): Promise<Map<Item, number>> {
  const table = await readBytes(file, region.offset, TABLE_BYTES)
  if (table.toString('latin1', 0, 8) !== 'metadata') throw new ImageUnsafe('metadata_table', 'its metadata is broken')
  const count = table.readUInt16LE(10)
  if (count > MAX_ENTRIES) throw new ImageUnsafe('metadata_count', 'its metadata table has too many entries')
  const items = new Map<Item, number>()
  for (let at = ENTRY_BYTES; at < (1 + count) * ENTRY_BYTES; at += ENTRY_BYTES) {
    const guid = guidAt(table, at)
    const offset = table.readUInt32LE(at + 16)
    const length = table.readUInt32LE(at + 20)
    const flags = table.readUInt32LE(at + 24)
    const inside = offset >= TABLE_BYTES && offset + length <= region.bytes && length <= MAX_ITEM_BYTES
    if (!inside && (offset !== 0 || length !== 0)) {
      throw new ImageUnsafe('metadata_item', 'a metadata item lies outside its region')
    }
    if (guid === PARENT_LOCATOR) throw new ImageUnsafe('backing_file', 'it names a parent')
    // What users add has names of its own, which may look like the system's.
    if ((flags & IS_USER) === 0 && isItem(guid)) {
      if (length !== ITEM_BYTES[guid]) throw new ImageUnsafe('metadata_item', 'a metadata item has the wrong length')
      if (items.has(guid)) throw new ImageUnsafe('metadata_twice', 'a metadata item is there twice')
      items.set(guid, offset)
    } else if ((flags & IS_REQUIRED) !== 0) {
      throw new ImageUnsafe('metadata_unknown', 'it needs a metadata item that is not known here')
    }
  }
  return items
}
