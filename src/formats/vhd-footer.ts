import { GiB } from '../domain/bytes.ts'
import { FormatLimitExceeded } from '../domain/errors.ts'
import { uuidBytes } from './stable-uuid.ts'

export const SECTOR_BYTES = 512
/** What Windows and qemu accept at most; the dynamic layout's 32-bit sector numbers end there. */
export const VHD_MAX_VIRTUAL_SIZE = 2040 * GiB
/** Where the header of a dynamic disk stands: behind the copy of the footer. */
const DYNAMIC_HEADER_AT = SECTOR_BYTES
const CHECKSUM_AT = 64

/**
 * The 512 bytes that end every VHD and begin a dynamic one.
 *
 * The size in bytes is exact; the cylinders, heads and sectors can only say it rounded down. Which of both counts is
 * chosen by readers from the creator: for "win " (Hyper-V) it is the size.
 * @throws FormatLimitExceeded above 2040 GiB
 * @see Virtual Hard Disk Image Format Specification 1.0 (Microsoft, 2006), "Hard Disk Footer Format"
 */
export function vhdFooter(kind: 'fixed' | 'dynamic', virtualSize: number, uuid: string): Buffer {
  if (virtualSize > VHD_MAX_VIRTUAL_SIZE) throw new FormatLimitExceeded('vhd', VHD_MAX_VIRTUAL_SIZE)
  const { cylinders, heads, sectors } = geometry(virtualSize / SECTOR_BYTES)
  const bytes = Buffer.alloc(SECTOR_BYTES)
  bytes.write('conectix', 0, 'latin1')
  bytes.writeUInt32BE(2, 8) // features: the reserved bit, always set
  bytes.writeUInt32BE(0x0001_0000, 12) // version of the format
  bytes.writeBigUInt64BE(kind === 'dynamic' ? BigInt(DYNAMIC_HEADER_AT) : 0xffff_ffff_ffff_ffffn, 16)
  // The time stamp stays 0: the same image gives the same bytes.
  bytes.write('win ', 28, 'latin1')
  bytes.writeUInt32BE(0x0001_0000, 32) // version of the creator
  bytes.write('Wi2k', 36, 'latin1') // host system; Windows and Macintosh are all there is
  bytes.writeBigUInt64BE(BigInt(virtualSize), 40) // original size
  bytes.writeBigUInt64BE(BigInt(virtualSize), 48) // current size
  bytes.writeUInt16BE(cylinders, 56)
  bytes.writeUInt8(heads, 58)
  bytes.writeUInt8(sectors, 59)
  bytes.writeUInt32BE(kind === 'dynamic' ? 3 : 2, 60)
  uuidBytes(uuid).copy(bytes, 68)
  bytes.writeUInt32BE(checksum(bytes), CHECKSUM_AT)
  return bytes
}

/** One's complement of the sum of all bytes; the field that will hold it must be zero still. */
export const checksum = (bytes: Uint8Array): number => ~bytes.reduce((sum, byte) => sum + byte, 0) >>> 0

/** The specification's appendix "CHS Calculation". */
function geometry(diskSectors: number): { cylinders: number; heads: number; sectors: number } {
  const total = Math.min(diskSectors, 65535 * 16 * 255)
  const split = (sectors: number, heads: number) => ({
    cylinders: Math.floor(Math.floor(total / sectors) / heads),
    heads,
    sectors
  })
  if (total >= 65535 * 16 * 63) return split(255, 16)
  const heads = Math.max(4, Math.ceil(Math.floor(total / 17) / 1024))
  if (heads <= 16 && Math.floor(total / 17) < heads * 1024) return split(17, heads)
  if (Math.floor(total / 31) < 16 * 1024) return split(31, 16)
  return split(63, 16)
}
