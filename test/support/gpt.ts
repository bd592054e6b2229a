import { crc32 } from 'node:zlib'

export const SECTOR = 512

const ENTRIES = 128
const ENTRY_BYTES = 128
const ENTRY_SECTORS = (ENTRIES * ENTRY_BYTES) / SECTOR

/** As a GUID stands on disk: its first three groups are little-endian. */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}

const LINUX_FILE_SYSTEM = guid('0fc63daf-8483-4772-8e79-3d69d8477de4')
const DISK = guid('5f1b9f4e-6a0c-4d52-9a43-0d1a5c1e2b02')
const PARTITION = guid('5f1b9f4e-6a0c-4d52-9a43-0d1a5c1e2b03')

/**
 * A GUID partition table with one Linux partition. All numbers are sectors of 512 bytes.
 * @returns `primary` for the start of the disk (protective MBR, header, entries), `backup` for its end
 * @see UEFI 2.10, 5.3 GUID Partition Table (GPT) Disk Layout
 */
export function gptAround(diskSectors: number, first: number, length: number): { primary: Buffer; backup: Buffer } {
  const entries = Buffer.alloc(ENTRY_SECTORS * SECTOR)
  LINUX_FILE_SYSTEM.copy(entries, 0)
  PARTITION.copy(entries, 16)
  entries.writeBigUInt64LE(BigInt(first), 32)
  entries.writeBigUInt64LE(BigInt(first + length - 1), 40)
  entries.write('guest', 56, 'utf16le')

  const last = diskSectors - 1
  const header = (self: number, other: number, entriesAt: number): Buffer => {
    const bytes = Buffer.alloc(SECTOR)
    bytes.write('EFI PART', 0, 'latin1')
    bytes.writeUInt32LE(0x00010000, 8)
    bytes.writeUInt32LE(92, 12)
    bytes.writeBigUInt64LE(BigInt(self), 24)
    bytes.writeBigUInt64LE(BigInt(other), 32)
    bytes.writeBigUInt64LE(BigInt(2 + ENTRY_SECTORS), 40)
    bytes.writeBigUInt64LE(BigInt(last - ENTRY_SECTORS - 1), 48)
    DISK.copy(bytes, 56)
    bytes.writeBigUInt64LE(BigInt(entriesAt), 72)
    bytes.writeUInt32LE(ENTRIES, 80)
    bytes.writeUInt32LE(ENTRY_BYTES, 84)
    bytes.writeUInt32LE(crc32(entries), 88)
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 92)), 16)
    return bytes
  }
  return {
    primary: Buffer.concat([protectiveMbr(diskSectors), header(1, last, 2), entries]),
    backup: Buffer.concat([entries, header(last, 1, last - ENTRY_SECTORS)])
  }
}

/** Tells old tools that the whole disk is taken. */
function protectiveMbr(diskSectors: number): Buffer {
  const bytes = Buffer.alloc(SECTOR)
  bytes.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446)
  bytes.writeUInt32LE(1, 454)
  bytes.writeUInt32LE(Math.min(diskSectors - 1, 0xffffffff), 458)
  bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}
