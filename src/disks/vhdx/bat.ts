import { MiB } from '../../domain/bytes.ts'
import { ImageUnsafe } from '../../domain/errors.ts'
import { BlockPlaces } from '../blocks/block-places.ts'
import { slicesOf } from '../blocks/table-slices.ts'
import type { RandomAccess } from '../disk.ts'
import type { Measures } from './measures.ts'
import type { Regions } from './regions.ts'

const ENTRY_BYTES = 8
/** A sector bitmap has a bit for each of so many sectors. */
const SECTORS_PER_BITMAP = 2 ** 23

/** States of a block, the lowest three bits of an entry: not present, undefined, zero and unmapped ones hold nothing. */
const NO_DATA = [0, 1, 2, 5]
const FULLY_PRESENT = 6
const PARTIALLY_PRESENT = 7
const RESERVED_LOW = 0x000ffff8

/**
 * Reads the block allocation table: an entry for each block, and after every chunk of blocks one for the bitmap that
 * only a disk with a parent has. Throws ImageUnsafe unless every block lies inside the file and shares its place with
 * nothing.
 * @see MS-VHDX 2.5
 */
export async function readBat(file: RandomAccess, regions: Regions, measures: Measures): Promise<BlockPlaces> {
  const { blockBytes, virtualSize, sectorBytes } = measures
  const blocks = Math.ceil(virtualSize / blockBytes)
  const chunk = (SECTORS_PER_BITMAP * sectorBytes) / blockBytes
  const bytes = (blocks + Math.floor((blocks - 1) / chunk)) * ENTRY_BYTES
  if (bytes > regions.bat.bytes) {
    throw new ImageUnsafe('bat_size', 'its block allocation table is too small for its disk')
  }
  const places = new BlockPlaces(blockBytes, file.size)
  let entry = 0
  for await (const slice of slicesOf(file, { offset: regions.bat.offset, bytes })) {
    for (let at = 0; at < slice.length; at += ENTRY_BYTES, entry += 1) {
      const inChunk = entry % (chunk + 1)
      const offset = placeOf(slice.readUInt32LE(at + 4), slice.readUInt32LE(at), inChunk === chunk)
      if (offset !== undefined) places.add(Math.floor(entry / (chunk + 1)) * chunk + inChunk, offset)
    }
  }
  places.check(regions.taken, MiB)
  return places
}

/** Where the block of an entry lies in the file: whole MiB, not checked. Undefined where it reads as zeros. */
function placeOf(high: number, low: number, isBitmap: boolean): number | undefined {
  const state = low & 7
  if (isBitmap && state !== 0) {
    throw new ImageUnsafe('bat_bitmap', 'it has a sector bitmap, as only a disk with a parent has')
  }
  if (NO_DATA.includes(state)) return undefined
  if (state === PARTIALLY_PRESENT) throw new ImageUnsafe('backing_file', 'a part of a block lies in a parent')
  if (state !== FULLY_PRESENT || (low & RESERVED_LOW) !== 0) {
    throw new ImageUnsafe('bat_entry', 'an entry of its block allocation table is not known here')
  }
  // Above 2^53 the sum is rounded, but it is far outside any file then.
  return high * 2 ** 32 + (low - state)
}
