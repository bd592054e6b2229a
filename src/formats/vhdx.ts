import { crc32c } from '../disks/crc32c.ts'
import { KiB, MiB, roundUp, TiB } from '../domain/bytes.ts'
import { FormatLimitExceeded } from '../domain/errors.ts'
import type { UnitRuns } from './allocation-map.ts'
import { eachDataUnit } from './data-units.ts'
import type { Format, Layout } from './format.ts'
import { generated, joined, packedUnits } from './layout.ts'
import { guidBytes, stableUuid } from './stable-uuid.ts'
import { padded, zeros } from './zeros.ts'

export const VHDX_MAX_VIRTUAL_SIZE = 64 * TiB
const SECTOR_BYTES = 512
/** Sectors that one sector bitmap block covers, whatever the size of the blocks. */
const SECTORS_PER_CHUNK = 2 ** 23
/** Small blocks waste little; this many entries a table (16 MiB) let them grow with the disk from 1 to 32 MiB. */
const MAX_BLOCKS = 2 * 1024 * 1024
const ENTRY_BYTES = 8
const TABLE_PAGE_BYTES = 64 * KiB
const ENTRIES_PER_PAGE = TABLE_PAGE_BYTES / ENTRY_BYTES
const CHECKSUM_AT = 4

/** The block reads as zeros. Absent blocks could also be called "not present", whose content nobody defines. */
const BLOCK_ZERO = 2
const BLOCK_FULLY_PRESENT = 6

// The order of the file. Each region is a whole number of MiB.
const HEADERS_BYTES = MiB
const LOG_AT = HEADERS_BYTES
const LOG_BYTES = MiB
const METADATA_AT = LOG_AT + LOG_BYTES
const METADATA_BYTES = MiB
const TABLE_AT = METADATA_AT + METADATA_BYTES

/** The block allocation table and the blocks it points to. */
type Plan = {
  readonly virtualSize: number
  readonly blocks: UnitRuns
  readonly payloadBlocks: number
  /** Payload blocks that stand before each sector bitmap block in the table. */
  readonly chunkRatio: number
  readonly tableBytes: number
}

/**
 * Dynamic VHDX with an empty log:
 *
 *     headers and region tables | log | metadata | block allocation table | payload blocks
 *
 * @see [MS-VHDX] Virtual Hard Disk v2 (VHDX) File Format
 */
export const vhdx: Format = {
  name: 'vhdx',
  extension: 'vhdx',
  mediaType: 'application/octet-stream',
  bare: false,
  layout(map) {
    if (map.virtualSize > VHDX_MAX_VIRTUAL_SIZE) throw new FormatLimitExceeded('vhdx', VHDX_MAX_VIRTUAL_SIZE)
    const blockBytes = blockBytesFor(map.virtualSize)
    const payloadBlocks = Math.ceil(map.virtualSize / blockBytes)
    const chunkRatio = (SECTORS_PER_CHUNK * SECTOR_BYTES) / blockBytes
    const plan: Plan = {
      virtualSize: map.virtualSize,
      blocks: map.units(blockBytes),
      payloadBlocks,
      chunkRatio,
      tableBytes: roundUp(entryOf(payloadBlocks - 1, chunkRatio) * ENTRY_BYTES + ENTRY_BYTES, MiB)
    }
    return joined(
      headers(plan),
      zeros(LOG_BYTES),
      metadata(plan),
      allocationTable(plan),
      packedUnits(plan.blocks, map.virtualSize)
    )
  }
}

/** A power of two, 1 to 32 MiB. */
const blockBytesFor = (virtualSize: number): number =>
  MiB * 2 ** Math.max(0, Math.ceil(Math.log2(virtualSize / MiB / MAX_BLOCKS)))

function headers(plan: Plan): Layout {
  const identifier = Buffer.from('vhdxfile', 'latin1') // the name of the creator behind it stays empty
  const regions = regionTable(plan)
  return joined(
    padded(identifier, 64 * KiB),
    padded(header(plan, 1), 64 * KiB),
    padded(header(plan, 2), 64 * KiB),
    padded(regions, 64 * KiB),
    padded(regions, 64 * KiB),
    zeros(HEADERS_BYTES - 5 * 64 * KiB)
  )
}

/** The header with the higher sequence number counts; the other one is what it would replace. */
function header({ virtualSize, blocks }: Plan, sequenceNumber: number): Uint8Array {
  const bytes = Buffer.alloc(4 * KiB)
  bytes.write('head', 0, 'latin1')
  bytes.writeBigUInt64LE(BigInt(sequenceNumber), 8)
  guidBytes(stableUuid('vhdx file', virtualSize, blocks)).copy(bytes, 16)
  guidBytes(stableUuid('vhdx data', virtualSize, blocks)).copy(bytes, 32)
  // The log's GUID stays zero: there is nothing to replay.
  bytes.writeUInt16LE(1, 66) // version
  bytes.writeUInt32LE(LOG_BYTES, 68)
  bytes.writeBigUInt64LE(BigInt(LOG_AT), 72)
  return withChecksum(bytes)
}

function regionTable(plan: Plan): Uint8Array {
  const regions: readonly [guid: string, at: number, length: number][] = [
    ['2dc27766-f623-4200-9d64-115e9bfd4a08', TABLE_AT, plan.tableBytes],
    ['8b7ca206-4790-4b9a-b8fe-575f050f886e', METADATA_AT, METADATA_BYTES]
  ]
  const bytes = Buffer.alloc(64 * KiB)
  bytes.write('regi', 0, 'latin1')
  bytes.writeUInt32LE(regions.length, 8)
  regions.forEach(([guid, at, length], i) => {
    const entry = bytes.subarray(16 + i * 32)
    guidBytes(guid).copy(entry)
    entry.writeBigUInt64LE(BigInt(at), 16)
    entry.writeUInt32LE(length, 24)
    entry.writeUInt32LE(1, 28) // required
  })
  return withChecksum(bytes)
}

/** Of all bytes, with the field itself zero. */
function withChecksum(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32c(bytes), CHECKSUM_AT)
  return bytes
}

function metadata({ virtualSize, blocks }: Plan): Layout {
  const sectorBytes = Buffer.alloc(4)
  sectorBytes.writeUInt32LE(SECTOR_BYTES)
  const diskBytes = Buffer.alloc(8)
  diskBytes.writeBigUInt64LE(BigInt(virtualSize))
  const fileParameters = Buffer.alloc(8) // no parent, and blocks may be absent
  fileParameters.writeUInt32LE(blocks.unitBytes)
  const ofFile = 0b100 // required
  const ofDisk = 0b110 // required, and about the guest's disk
  const items: readonly [guid: string, flags: number, value: Buffer][] = [
    ['caa16737-fa36-4d43-b3b6-33f0aa44e76b', ofFile, fileParameters],
    ['2fa54224-cd1b-4876-b211-5dbed83bf4b8', ofDisk, diskBytes],
    // Virtual disk ID, which the guest may see (SCSI page 83).
    ['beca12ab-b2e6-4523-93ef-c309e000c746', ofDisk, guidBytes(stableUuid('vhdx disk', virtualSize, blocks))],
    // Logical and physical sector size.
    ['8141bf1d-a96f-4709-ba47-f233a8faab5f', ofDisk, sectorBytes],
    ['cda348c7-445d-4471-9cc9-e9885251c556', ofDisk, sectorBytes]
  ]
  const table = Buffer.alloc(64 * KiB)
  table.write('metadata', 0, 'latin1')
  table.writeUInt16LE(items.length, 10)
  let at = table.length
  items.forEach(([guid, flags, value], i) => {
    const entry = table.subarray(32 + i * 32)
    guidBytes(guid).copy(entry)
    entry.writeUInt32LE(at, 16)
    entry.writeUInt32LE(value.length, 20)
    entry.writeUInt32LE(flags, 24)
    at += value.length
  })
  return padded(Buffer.concat([table, ...items.map(([, , value]) => value)]), METADATA_BYTES)
}

// After every `chunkRatio` payload blocks the table has one entry for a sector bitmap block, which only a disk with a parent needs.
const entryOf = (block: number, chunkRatio: number): number => block + Math.floor(block / chunkRatio)
const blocksBefore = (entry: number, chunkRatio: number): number => entry - Math.floor(entry / (chunkRatio + 1))

/** For each payload block where it stands and its state, as 64 bits. */
function allocationTable({ blocks, payloadBlocks, chunkRatio, tableBytes }: Plan): Layout {
  const payloadAt = TABLE_AT + tableBytes
  return generated(TABLE_PAGE_BYTES, tableBytes / TABLE_PAGE_BYTES, (page) => {
    const firstEntry = page * ENTRIES_PER_PAGE
    const from = blocksBefore(firstEntry, chunkRatio)
    const to = Math.min(payloadBlocks, blocksBefore(firstEntry + ENTRIES_PER_PAGE, chunkRatio))
    const bytes = Buffer.alloc(TABLE_PAGE_BYTES)
    const offsetOf = (block: number) => (entryOf(block, chunkRatio) - firstEntry) * ENTRY_BYTES
    for (let block = from; block < to; block++) bytes.writeUInt8(BLOCK_ZERO, offsetOf(block))
    eachDataUnit(blocks, from, to, (block, rank) => {
      // Whole MiB, so that the state has the low bits to itself.
      const at = payloadAt + rank * blocks.unitBytes
      bytes.writeUInt32LE((at % 2 ** 32) + BLOCK_FULLY_PRESENT, offsetOf(block))
      bytes.writeUInt32LE(Math.floor(at / 2 ** 32), offsetOf(block) + 4)
    })
    return bytes
  })
}
