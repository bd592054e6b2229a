import { MiB, roundUp } from '../domain/bytes.ts'
import type { UnitRuns } from './allocation-map.ts'
import { eachDataUnit } from './data-units.ts'
import type { Format, Layout } from './format.ts'
import { generated, joined, literal, packedUnits } from './layout.ts'
import { stableUuid } from './stable-uuid.ts'
import { checksum, SECTOR_BYTES, vhdFooter } from './vhd-footer.ts'

/** The specification's default; some readers know no other. */
const BLOCK_BYTES = 2 * MiB
/** One bit a sector: 512 bytes for a block of 2 MiB. */
const BITMAP_BYTES = BLOCK_BYTES / SECTOR_BYTES / 8
const STRIDE_BYTES = BITMAP_BYTES + BLOCK_BYTES
const HEADER_BYTES = 1024
const ENTRY_BYTES = 4
const ENTRIES_PER_SECTOR = SECTOR_BYTES / ENTRY_BYTES
const TABLE_AT = SECTOR_BYTES + HEADER_BYTES
const CHECKSUM_AT = 36

/**
 * Dynamic VHD:
 *
 *     copy of the footer | header | block allocation table | blocks, each behind its bitmap | footer
 *
 * @see Virtual Hard Disk Image Format Specification 1.0 (Microsoft, 2006)
 */
export const vhdDynamic: Format = {
  name: 'vhd',
  extension: 'vhd',
  mediaType: 'application/octet-stream',
  bare: false,
  layout(map) {
    const blocks = map.units(BLOCK_BYTES)
    const footer = literal(vhdFooter('dynamic', map.virtualSize, stableUuid('vhd', map.virtualSize, blocks)))
    const tableEntries = Math.ceil(map.virtualSize / BLOCK_BYTES)
    return joined(
      footer,
      literal(header(tableEntries)),
      allocationTable(blocks, tableEntries),
      blocksWithBitmaps(blocks, map.virtualSize),
      footer
    )
  }
}

function header(tableEntries: number): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES)
  bytes.write('cxsparse', 0, 'latin1')
  bytes.writeBigUInt64BE(0xffff_ffff_ffff_ffffn, 8) // data offset: unused
  bytes.writeBigUInt64BE(BigInt(TABLE_AT), 16)
  bytes.writeUInt32BE(0x0001_0000, 24) // version
  bytes.writeUInt32BE(tableEntries, 28)
  bytes.writeUInt32BE(BLOCK_BYTES, 32)
  bytes.writeUInt32BE(checksum(bytes), CHECKSUM_AT)
  return bytes // the rest describes a parent, and there is none
}

/** For each block the sector where its bitmap stands, or all ones. */
function allocationTable(blocks: UnitRuns, tableEntries: number): Layout {
  const sectors = Math.ceil(tableEntries / ENTRIES_PER_SECTOR)
  const blocksAt = TABLE_AT + roundUp(tableEntries * ENTRY_BYTES, SECTOR_BYTES)
  return generated(SECTOR_BYTES, sectors, (sector) => {
    const first = sector * ENTRIES_PER_SECTOR
    const bytes = Buffer.alloc(SECTOR_BYTES, 0xff)
    eachDataUnit(blocks, first, first + ENTRIES_PER_SECTOR, (block, rank) => {
      bytes.writeUInt32BE((blocksAt + rank * STRIDE_BYTES) / SECTOR_BYTES, (block - first) * ENTRY_BYTES)
    })
    return bytes
  })
}

/** Blocks of data as they stand in the file. Their bitmaps say that every sector is here, zeros too. */
function blocksWithBitmaps(blocks: UnitRuns, virtualSize: number): Layout {
  const bitmap = literal(Buffer.alloc(BITMAP_BYTES, 0xff))
  const data = packedUnits(blocks, virtualSize)
  return {
    length: blocks.total * STRIDE_BYTES,
    *segments(from, to) {
      for (let at = from; at < to; ) {
        const rank = Math.floor(at / STRIDE_BYTES)
        const first = at - rank * STRIDE_BYTES
        const last = Math.min(STRIDE_BYTES, first + to - at)
        const dataFrom = rank * BLOCK_BYTES - BITMAP_BYTES
        yield* bitmap.segments(Math.min(first, BITMAP_BYTES), Math.min(last, BITMAP_BYTES))
        yield* data.segments(dataFrom + Math.max(first, BITMAP_BYTES), dataFrom + Math.max(last, BITMAP_BYTES))
        at += last - first
      }
    }
  }
}
