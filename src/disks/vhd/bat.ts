import { BlockPlaces } from '../blocks/block-places.ts'
import { slicesOf } from '../blocks/table-slices.ts'
import type { RandomAccess } from '../disk.ts'
import type { DynamicHeader } from './dynamic-header.ts'

const UNUSED = 0xffffffff

/**
 * Reads the block allocation table. Each entry is the sector where a block's bitmap starts; the block follows it. Every
 * one of them, also past the disk's end, lies inside the file and shares its place with nothing. Throws ImageUnsafe.
 * @returns where the bitmaps are
 */
export async function readBat(file: RandomAccess, header: DynamicHeader): Promise<BlockPlaces> {
  const places = new BlockPlaces(header.bitmapBytes + header.blockBytes, header.end)
  let block = 0
  for await (const slice of slicesOf(file, header.bat)) {
    for (let at = 0; at < slice.length; at += 4, block += 1) {
      const sector = slice.readUInt32BE(at)
      if (sector !== UNUSED) places.add(block, sector * 512)
    }
  }
  places.check(header.metadata, 512)
  return places
}
