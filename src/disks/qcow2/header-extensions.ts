import { ImageUnsafe } from '../../domain/errors.ts'
import { type Table, tableAt } from '../blocks/table.ts'

const END = 0x00000000
const BITMAPS = 0x23852875
const ENCRYPTION_HEADER = 0x0537be77
const DATA_FILE_NAME = 0x44415441

const MAX_BITMAPS = 65_535
/** Bytes of a directory entry without its name. */
const BITMAP_ENTRY_BYTES = 24
/** qemu's limit: 64 KiB - 1 bitmaps of 1 KiB (block/qcow2-bitmap.c). */
const MAX_BITMAP_DIRECTORY_BYTES = MAX_BITMAPS * 1024

/**
 * Walks the header extensions, which fill the first cluster after the header up to the end mark.
 * @param area the bytes from the header's end to the cluster's
 * @returns the bitmap directory, when there is one
 */
export function checkExtensions(area: Buffer, clusterBytes: number, fileSize: number): Table | undefined {
  let bitmaps: Table | undefined
  for (let at = 0; at + 8 <= area.length; ) {
    const type = area.readUInt32BE(at)
    const length = area.readUInt32BE(at + 4)
    if (type === END) break
    if (at + 8 + length > area.length) {
      throw new ImageUnsafe('header_extension', 'a header extension runs past the first cluster')
    }
    const data = area.subarray(at + 8, at + 8 + length)
    if (type === DATA_FILE_NAME) throw new ImageUnsafe('data_file', 'it names another file for its data')
    if (type === ENCRYPTION_HEADER) throw new ImageUnsafe('encryption', 'it has an encryption header')
    if (type === BITMAPS) bitmaps = bitmapDirectory(data, clusterBytes, fileSize)
    at += 8 + Math.ceil(length / 8) * 8
  }
  return bitmaps
}

function bitmapDirectory(data: Buffer, clusterBytes: number, fileSize: number): Table {
  const unsafe = () => new ImageUnsafe('bitmap_directory', 'the directory of its bitmaps is impossible')
  if (data.length !== 24) throw unsafe()
  const count = data.readUInt32BE(0)
  const size = data.readBigUInt64BE(8)
  if (count === 0 || count > MAX_BITMAPS || data.readUInt32BE(4) !== 0) throw unsafe()
  if (size < BigInt(count * BITMAP_ENTRY_BYTES) || size > BigInt(MAX_BITMAP_DIRECTORY_BYTES)) throw unsafe()
  const directory = tableAt(data.readBigUInt64BE(16), Number(size), clusterBytes, fileSize)
  if (!directory) throw unsafe()
  return directory
}
