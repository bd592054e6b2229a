import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { ImageUnsafe } from '../../domain/errors.ts'
import { readBytes } from '../blocks/block-disk.ts'
import { unpackBlock } from '../blocks/unpack.ts'
import type { RandomAccess } from '../disk.ts'
import { type Header, SECTOR } from './header.ts'

const inflate = promisify(zlib.inflate)

const ZEROED = 1
/** Before the compressed bytes: the grain's first sector on the disk, 64 bits, and their length, 32 bits. */
const MARKER_BYTES = 12

/**
 * Where a grain begins in the file, in bytes; 0 when it reads as zeros. Throws ImageUnsafe when it cannot lie there.
 * @param entry of the grain table
 */
export function grainAt(entry: number, grain: number, header: Header): number {
  if (entry === 0 || (entry === ZEROED && header.zeroedGrains)) return 0
  const offset = entry * SECTOR
  const bytes = header.compressed ? SECTOR : neededOf(grain, header)
  if (offset + bytes > header.fileSize)
    throw new ImageUnsafe('data_outside', 'a grain of its disk lies outside its file')
  return offset
}

/** The bytes of a grain that lie within the disk: the last one may end after them. */
const neededOf = (grain: number, { grainBytes, virtualSize }: Header): number =>
  Math.min(grainBytes, virtualSize - grain * grainBytes)

/** One compressed grain. Throws ImageUnsafe when its marker is another's, or its bytes do not make a grain. */
export async function unpackGrain(file: RandomAccess, offset: number, grain: number, header: Header): Promise<Buffer> {
  const { grainBytes, fileSize } = header
  const head = await readBytes(file, offset, Math.min(grainBytes, fileSize - offset))
  const packedBytes = head.readUInt32LE(8)
  const wrong = head.readBigUInt64LE(0) !== BigInt((grain * grainBytes) / SECTOR)
  // qemu takes no more than two grains, marker and all.
  if (wrong || packedBytes === 0 || MARKER_BYTES + packedBytes > Math.min(2 * grainBytes, fileSize - offset)) {
    throw new ImageUnsafe('grain_marker', 'a compressed grain has the marker of another, or an impossible one')
  }
  const packed =
    MARKER_BYTES + packedBytes <= head.length
      ? head.subarray(MARKER_BYTES, MARKER_BYTES + packedBytes)
      : await readBytes(file, offset + MARKER_BYTES, packedBytes)
  return unpackBlock(grainBytes, neededOf(grain, header), (bounds) => inflate(packed, bounds))
}
