import { isPowerOfTwo, MiB } from '../../domain/bytes.ts'
import { ImageUnsafe } from '../../domain/errors.ts'
import { readBytes } from '../blocks/block-disk.ts'
import { Metadata } from '../blocks/metadata.ts'
import { type Table, tableAt } from '../blocks/table.ts'
import type { RandomAccess } from '../disk.ts'
import { checksum } from './checksum.ts'
import { FOOTER_BYTES, type Footer } from './footer.ts'

/** How a dynamic disk lies in its file, every field checked against the file's real length. */
export type DynamicHeader = {
  readonly virtualSize: number
  /** A power of two, 512 KiB to 256 MiB. */
  readonly blockBytes: number
  /** What the sector bitmap in front of each block takes: whole sectors. */
  readonly bitmapBytes: number
  /** Block allocation table: 4 bytes an entry. */
  readonly bat: Table
  /** The footer's copy, this header and the table, in sectors of 512 bytes. */
  readonly metadata: Metadata
  /** Where the closing footer begins: data must end before it. */
  readonly end: number
}

const HEADER_BYTES = 1024
const MAGIC = 'cxsparse'
const VERSION = 0x00010000
/** Virtual PC's first blocks, and far above the 2 MiB of every other writer. */
const MIN_BLOCK_BYTES = MiB / 2
const MAX_BLOCK_BYTES = 256 * MiB
/** The 2040 GiB that entries of 32 bits reach, as qemu has it (block/vpc.c). */
const MAX_DISK_BYTES = 0xff000000 * 512

/**
 * Reads the second header of a dynamic disk. Throws ImageUnsafe.
 * @see the Image Format Specification, "Dynamic Disk Header Format"
 */
export async function readDynamicHeader(file: RandomAccess, footer: Footer): Promise<DynamicHeader> {
  const { virtualSize } = footer
  const end = file.size - FOOTER_BYTES
  const place = tableAt(footer.headerOffset, HEADER_BYTES, 512, end)
  if (!place) throw new ImageUnsafe('dynamic_header', 'its dynamic header lies outside its file')
  const header = await readBytes(file, place.offset, place.bytes)
  if (header.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new ImageUnsafe('dynamic_header', 'there is no dynamic header where its footer says')
  }
  if (header.readUInt32BE(36) !== checksum(header, 36)) {
    throw new ImageUnsafe('dynamic_checksum', 'the checksum of its dynamic header is wrong')
  }
  if (header.readUInt32BE(24) !== VERSION) throw new ImageUnsafe('version', 'the version of its header is not 1.0')
  if (header.subarray(40, 56).some((byte) => byte !== 0)) throw new ImageUnsafe('backing_file', 'it names a parent')

  const blockBytes = header.readUInt32BE(32)
  if (blockBytes < MIN_BLOCK_BYTES || blockBytes > MAX_BLOCK_BYTES || !isPowerOfTwo(blockBytes)) {
    throw new ImageUnsafe('block_size', 'its blocks are no power of two from 512 KiB to 256 MiB')
  }
  const entries = header.readUInt32BE(28)
  if (entries * blockBytes < virtualSize || entries > MAX_DISK_BYTES / blockBytes) {
    throw new ImageUnsafe('bat_size', 'its block allocation table is too small for its disk, or too large for any')
  }
  const bat = tableAt(header.readBigUInt64BE(16), entries * 4, 512, end)
  if (!bat) throw new ImageUnsafe('bat', 'its block allocation table lies outside its file')
  const bitmapBytes = Math.ceil(blockBytes / 512 / 8 / 512) * 512
  return { virtualSize, blockBytes, bitmapBytes, bat, metadata: Metadata.of(512, [place, bat]), end }
}
