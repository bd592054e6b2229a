import { checksum } from '../../../src/disks/vhd/checksum.ts'

/** Where things lie in a tiny dynamic VHD. */
export const SECTOR = 512
export const BLOCK = 512 * 1024
/** A disk of four blocks, the last one cut short. */
export const SIZE = 3 * BLOCK + 3 * SECTOR
export const DYNAMIC_HEADER = SECTOR
export const BAT = 3 * SECTOR
/** Each is a bitmap of a sector, then the block: guest blocks 3, 0 and 2, and a place that is not used. */
export const PLACES = [4, 1029, 2054, 3079].map((sector) => sector * SECTOR)
export const FOOTER = 4104 * SECTOR

/** Offsets of the footer's fields. */
export const FOOTER_FIELD = {
  version: 12,
  headerOffset: 16,
  creator: 28,
  size: 48,
  geometry: 56,
  type: 60,
  checksum: 64
} as const

/** Offsets of the dynamic header's fields in the file. */
export const HEADER_FIELD = {
  magic: DYNAMIC_HEADER,
  bat: DYNAMIC_HEADER + 16,
  version: DYNAMIC_HEADER + 24,
  entries: DYNAMIC_HEADER + 28,
  blockSize: DYNAMIC_HEADER + 32,
  checksum: DYNAMIC_HEADER + 36,
  parent: DYNAMIC_HEADER + 40
} as const

/** Sectors with data, of which the bitmap of block 2 has bits; all others of it are absent. */
export const PRESENT = [0, 1, 2, 9, 15, 16, 24, 1000, 1001, 1023]

export type FooterFields = { size: number; creator?: string; geometry?: [number, number, number]; type?: number }

export function footer({ size, creator = 'win ', geometry = [1, 4, 17], type = 3 }: FooterFields): Buffer {
  const bytes = Buffer.alloc(SECTOR)
  bytes.write('conectix')
  bytes.writeUInt32BE(2, 8)
  bytes.writeUInt32BE(0x00010000, FOOTER_FIELD.version)
  bytes.writeBigUInt64BE(type === 2 ? 2n ** 64n - 1n : BigInt(DYNAMIC_HEADER), FOOTER_FIELD.headerOffset)
  bytes.write(creator, FOOTER_FIELD.creator, 'latin1')
  bytes.writeBigUInt64BE(BigInt(size), 40)
  bytes.writeBigUInt64BE(BigInt(size), FOOTER_FIELD.size)
  bytes.writeUInt16BE(geometry[0], FOOTER_FIELD.geometry)
  bytes.writeUInt8(geometry[1], FOOTER_FIELD.geometry + 2)
  bytes.writeUInt8(geometry[2], FOOTER_FIELD.geometry + 3)
  bytes.writeUInt32BE(type, FOOTER_FIELD.type)
  bytes.writeUInt32BE(checksum(bytes, FOOTER_FIELD.checksum), FOOTER_FIELD.checksum)
  return bytes
}

/** A sound image: text, nothing, some sectors of text, text to the end. Tests then break one thing in it. */
export function tinyVhd(): Buffer {
  const file = Buffer.alloc(FOOTER + SECTOR)
  footer({ size: SIZE }).copy(file, 0)
  file.write('cxsparse', HEADER_FIELD.magic)
  file.writeBigUInt64BE(2n ** 64n - 1n, DYNAMIC_HEADER + 8)
  file.writeBigUInt64BE(BigInt(BAT), HEADER_FIELD.bat)
  file.writeUInt32BE(0x00010000, HEADER_FIELD.version)
  file.writeUInt32BE(4, HEADER_FIELD.entries)
  file.writeUInt32BE(BLOCK, HEADER_FIELD.blockSize)
  file.fill(0xff, BAT, BAT + SECTOR)
  for (const [block, place] of [1, undefined, 2, 0].entries()) {
    if (place === undefined) continue
    const at = PLACES[place] ?? 0
    file.writeUInt32BE(at / SECTOR, BAT + block * 4)
    file.fill(block === 2 ? 0 : 0xff, at, at + BLOCK / SECTOR / 8)
    file.fill(`block ${block} `, at + SECTOR, at + SECTOR + BLOCK)
    if (block === 2)
      for (const sector of PRESENT) file[at + (sector >> 3)] = (file[at + (sector >> 3)] ?? 0) | (0x80 >> (sector & 7))
  }
  return seal(file)
}

/** What the tiny disk reads as. */
export function tinyVhdContent(file = tinyVhd()): Buffer {
  const disk = Buffer.alloc(SIZE)
  const [last = 0, first = 0, third = 0] = PLACES
  file.copy(disk, 0, first + SECTOR, first + SECTOR + BLOCK)
  for (const sector of PRESENT) {
    const at = third + SECTOR + sector * SECTOR
    file.copy(disk, 2 * BLOCK + sector * SECTOR, at, at + SECTOR)
  }
  file.copy(disk, 3 * BLOCK, last + SECTOR, last + SECTOR + 3 * SECTOR)
  return disk
}

/** Makes checksums right again, and the closing footer like the first, after a change. */
export function seal(file: Buffer): Buffer {
  file.writeUInt32BE(checksum(file.subarray(0, SECTOR), FOOTER_FIELD.checksum), FOOTER_FIELD.checksum)
  const header = file.subarray(DYNAMIC_HEADER, DYNAMIC_HEADER + 1024)
  file.writeUInt32BE(checksum(header, 36), HEADER_FIELD.checksum)
  file.copy(file, file.length - SECTOR, 0, SECTOR)
  return file
}
