import { KiB, MiB, roundUp } from '../domain/bytes.ts'
import { FormatLimitExceeded } from '../domain/errors.ts'
import type { UnitRuns } from './allocation-map.ts'
import { eachDataUnit } from './data-units.ts'
import type { Format, Layout } from './format.ts'
import { generated, joined, literal, packedUnits } from './layout.ts'
import { guidBytes, stableUuid } from './stable-uuid.ts'

const BLOCK_BYTES = MiB
const ENTRY_BYTES = 4
/** As much of the block map as is made at once. */
const PAGE_BYTES = 4 * KiB
const ENTRIES_PER_PAGE = PAGE_BYTES / ENTRY_BYTES
const SECTOR_BYTES = 512
/** Of version 1.1 with the guest's geometry, which VirtualBox checks; counted from behind the signature and version. */
const HEADER_BYTES = 400
/** qemu's limit on the block map (`VDI_BLOCKS_IN_IMAGE_MAX`), about 512 TiB of disk. */
const MAX_BLOCKS = Math.floor((2 ** 31 - 1 - 511) / ENTRY_BYTES)
export const VDI_MAX_VIRTUAL_SIZE = MAX_BLOCKS * BLOCK_BYTES

/**
 * Dynamic VDI 1.1, VirtualBox's own format: header | block map | blocks of 1 MiB. Whole sectors each, without a gap, as qemu
 * writes them.
 * @see VirtualBox, src/VBox/Storage/VDICore.h
 */
export const vdi: Format = {
  name: 'vdi',
  extension: 'vdi',
  mediaType: 'application/octet-stream',
  bare: false,
  layout(map) {
    const blocksInImage = Math.ceil(map.virtualSize / BLOCK_BYTES)
    if (blocksInImage > MAX_BLOCKS) throw new FormatLimitExceeded('vdi', VDI_MAX_VIRTUAL_SIZE)
    const blocks = map.units(BLOCK_BYTES)
    const table = blockMap(blocks, blocksInImage)
    return joined(
      literal(header(map.virtualSize, blocksInImage, SECTOR_BYTES + table.length, blocks)),
      table,
      packedUnits(blocks, map.virtualSize)
    )
  }
}

function header(virtualSize: number, blocksInImage: number, dataAt: number, blocks: UnitRuns): Uint8Array {
  const bytes = Buffer.alloc(SECTOR_BYTES)
  bytes.write('<<< Virtual Disk Image >>>\n', 0, 'latin1')
  bytes.writeUInt32LE(0xbeda_107f, 64)
  bytes.writeUInt32LE(0x0001_0001, 68) // version 1.1
  bytes.writeUInt32LE(HEADER_BYTES, 72)
  bytes.writeUInt32LE(1, 76) // dynamic
  bytes.writeUInt32LE(SECTOR_BYTES, 340) // where the block map stands
  bytes.writeUInt32LE(dataAt, 344)
  bytes.writeUInt32LE(SECTOR_BYTES, 360) // the rest of the old geometry stays 0: not known
  bytes.writeBigUInt64LE(BigInt(virtualSize), 368)
  bytes.writeUInt32LE(BLOCK_BYTES, 376)
  bytes.writeUInt32LE(blocksInImage, 384)
  bytes.writeUInt32LE(blocks.total, 388)
  guidBytes(stableUuid('vdi image', virtualSize, blocks)).copy(bytes, 392)
  guidBytes(stableUuid('vdi modification', virtualSize, blocks)).copy(bytes, 408)
  bytes.writeUInt32LE(SECTOR_BYTES, 468) // the same of the guest's geometry
  return bytes // zeros for the two UUIDs of a parent: there is none
}

/** For each block its place among the blocks of the file, or all ones. */
function blockMap(blocks: UnitRuns, blocksInImage: number): Layout {
  const pages = generated(PAGE_BYTES, Math.ceil(blocksInImage / ENTRIES_PER_PAGE), (page) => {
    const first = page * ENTRIES_PER_PAGE
    const bytes = Buffer.alloc(PAGE_BYTES, 0xff)
    eachDataUnit(blocks, first, first + ENTRIES_PER_PAGE, (block, rank) => {
      bytes.writeUInt32LE(rank, (block - first) * ENTRY_BYTES)
    })
    return bytes
  })
  return { ...pages, length: roundUp(blocksInImage * ENTRY_BYTES, SECTOR_BYTES) }
}
