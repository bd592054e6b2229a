import { crc32c } from '../../../src/disks/crc32c.ts'
import { KiB, MiB } from '../../../src/domain/bytes.ts'

/** Where things lie in a tiny VHDX file. */
export const HEADERS = [64 * KiB, 128 * KiB] as const
export const REGION_TABLES = [192 * KiB, 256 * KiB] as const
export const LOG = 1 * MiB
export const BAT = 2 * MiB
export const METADATA = 3 * MiB
/** Of block 2 of the disk; block 3 follows, then block 0 and a MiB that is not used. */
export const DATA = 4 * MiB
export const SPARE = 7 * MiB
/** A disk of four blocks, the last one cut short. */
const SIZE = 3 * MiB + 1536

/** Offsets of a header's fields. */
export const HEADER = { crc: 4, sequence: 8, logGuid: 48, version: 66, logBytes: 68, log: 72 } as const
/** Offsets of fields in the region table, and in its first entry, the block allocation table's. */
export const REGION = { crc: 4, count: 8, guid: 16, offset: 32, bytes: 40, required: 44, next: 32 } as const
/** Offsets in the file: the table of items, and the items themselves. */
export const ITEMS = METADATA + 32
export const ITEM = {
  parameters: METADATA + 64 * KiB,
  size: METADATA + 64 * KiB + 8,
  identifier: METADATA + 64 * KiB + 16,
  logical: METADATA + 64 * KiB + 32,
  physical: METADATA + 64 * KiB + 36
} as const

const GUIDS = {
  bat: '6677c22d23f600429d64115e9bfd4a08',
  metadata: '06a27c8b90479a4bb8fe575f050f886e',
  parameters: '3767a1ca36fa434db3b633f0aa44e76b',
  size: '2442a52f1bcd7648b2115dbed83bf4b8',
  identifier: 'ab12cabee6b2234593efc309e000c746',
  logical: '1dbf41816fa90947ba47f233a8faab5f',
  physical: 'c748a3cd5d4471449cc9e9885251c556'
} as const
export const PARENT_LOCATOR = Buffer.from('2d5fd3a80bb34d45abf7d3d84834ab0c', 'hex')

export const PRESENT = 6n

/** A sound image: text, nothing, text to the end. Tests then break one thing in it. */
export function tinyVhdx(): Buffer {
  const file = Buffer.alloc(8 * MiB)
  file.write('vhdxfile')
  for (const [i, at] of HEADERS.entries()) {
    file.write('head', at)
    file.writeBigUInt64LE(BigInt(7 + i), at + HEADER.sequence)
    file.writeUInt16LE(1, at + HEADER.version)
    file.writeUInt32LE(MiB, at + HEADER.logBytes)
    file.writeBigUInt64LE(BigInt(LOG), at + HEADER.log)
  }
  for (const at of REGION_TABLES) {
    file.write('regi', at)
    file.writeUInt32LE(2, at + REGION.count)
    for (const [entry, guid, offset] of [
      [at + REGION.guid, GUIDS.bat, BAT],
      [at + REGION.guid + REGION.next, GUIDS.metadata, METADATA]
    ] as const) {
      file.write(guid, entry, 'hex')
      file.writeBigUInt64LE(BigInt(offset), entry + 16)
      file.writeUInt32LE(MiB, entry + 24)
      file.writeUInt32LE(1, entry + 28)
    }
  }
  file.write('metadata', METADATA)
  file.writeUInt16LE(5, METADATA + 10)
  for (const [i, [name, bytes]] of (
    [
      ['parameters', 8],
      ['size', 8],
      ['identifier', 16],
      ['logical', 4],
      ['physical', 4]
    ] as const
  ).entries()) {
    item(i, GUIDS[name], ITEM[name] - METADATA, bytes)(file)
  }
  file.writeUInt32LE(MiB, ITEM.parameters)
  file.writeBigUInt64LE(BigInt(SIZE), ITEM.size)
  file.writeUInt32LE(512, ITEM.logical)
  file.writeUInt32LE(4096, ITEM.physical)
  for (const [block, entry] of [
    BigInt(6 * MiB) | PRESENT,
    2n,
    BigInt(DATA) | PRESENT,
    BigInt(5 * MiB) | PRESENT
  ].entries()) {
    file.writeBigUInt64LE(entry, BAT + block * 8)
  }
  file.fill('block 2 ', DATA, DATA + MiB)
  file.fill('block 3 ', DATA + MiB, DATA + 2 * MiB)
  file.fill('block 0 ', DATA + 2 * MiB, DATA + 3 * MiB)
  return seal(file)
}

/** Writes an entry of the metadata table: required, and of the system unless `flags` say otherwise. */
export const item =
  (index: number, guid: string, offset: number, bytes: number, flags = 4) =>
  (file: Buffer): void => {
    const at = ITEMS + index * 32
    file.write(guid, at, 'hex')
    file.writeUInt32LE(offset, at + 16)
    file.writeUInt32LE(bytes, at + 20)
    file.writeUInt32LE(flags, at + 24)
  }

/** What the tiny disk reads as. */
export function tinyVhdxContent(): Buffer {
  const disk = Buffer.alloc(SIZE)
  disk.fill('block 0 ', 0, MiB)
  disk.fill('block 2 ', 2 * MiB, 3 * MiB)
  disk.fill('block 3 ', 3 * MiB)
  return disk
}

/** Makes checksums right again after a change. */
export function seal(file: Buffer): Buffer {
  for (const [at, bytes] of [...HEADERS.map((at) => [at, 4 * KiB]), ...REGION_TABLES.map((at) => [at, 64 * KiB])] as [
    number,
    number
  ][]) {
    file.writeUInt32LE(0, at + 4)
    file.writeUInt32LE(crc32c(file.subarray(at, at + bytes)), at + 4)
  }
  return file
}
