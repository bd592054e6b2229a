import { roundUp } from '../domain/bytes.ts'
import { ImageUnsafe } from '../domain/errors.ts'
import { Allocated } from './blocks/allocated.ts'
import { BlockDisk, readBytes } from './blocks/block-disk.ts'
import { Holes } from './blocks/holes.ts'
import { checkVirtualSize } from './bounds.ts'
import type { DiskLimits, DiskReader, RandomAccess } from './disk.ts'

const HEADER_BYTES = 512
/** The header's own count of its bytes begins here. */
const COUNTED_FROM = 72
/** Of version 1.1; later programs write 0x190. */
const LEAST_COUNTED = 0x180
const VERSION_1_1 = 0x00010001
const DYNAMIC = 1
const FIXED = 2
/** What every program writes, and the only one that qemu reads. */
const BLOCK_BYTES = 1024 * 1024
/** Entries of the block map from this one on are no places: a block of zeros, and 0xffffffff, a block never written. */
const NO_PLACE = 0xfffffffe

/** The header's fields, every one of them checked against the real length of the file. */
type Header = {
  readonly virtualSize: number
  readonly blocks: number
  readonly blocksInFile: number
  readonly mapOffset: number
  readonly dataOffset: number
}

/**
 * Disks of VirtualBox, version 1.1, dynamic and fixed, without relatives.
 * @see https://forums.virtualbox.org/viewtopic.php?t=8046 and block/vdi.c of QEMU
 */
export const vdi: DiskReader = {
  name: 'vdi',
  async open(file, limits) {
    const header = await readHeader(file, limits)
    const places = await readMap(file, header)
    // One bit a block, in one piece: the map has an entry for every block.
    const allocated = new Allocated(Float64Array.of(header.mapOffset), roundUp(header.blocks, 8))
    const holes = new Holes(file)
    const placeOf = (block: number) => header.dataOffset + (places[block] ?? 0) * BLOCK_BYTES
    places.forEach((place, block) => {
      if (place < NO_PLACE && !holes.cover(placeOf(block), BLOCK_BYTES)) allocated.add(block)
    })
    return new BlockDisk(file, {
      blockBytes: BLOCK_BYTES,
      virtualSize: header.virtualSize,
      allocated,
      locate: (block) => ({ kind: 'data', offset: placeOf(block) })
    })
  }
}

async function readHeader(file: RandomAccess, limits: DiskLimits): Promise<Header> {
  if (file.size < HEADER_BYTES) throw new ImageUnsafe('truncated', 'its file ends inside the header')
  const header = await readBytes(file, 0, HEADER_BYTES)
  if (header.readUInt32LE(0x40) !== 0xbeda107f) throw new ImageUnsafe('magic', 'it is no vdi file')
  if (header.readUInt32LE(0x44) !== VERSION_1_1) throw new ImageUnsafe('version', 'its vdi version is not 1.1')
  const type = header.readUInt32LE(0x4c)
  if (type !== DYNAMIC && type !== FIXED) throw new ImageUnsafe('image_type', 'it is neither dynamic nor fixed')
  // The UUIDs of the image it was made from and of its parent.
  if (header.subarray(0x1a8, 0x1c8).some((byte) => byte !== 0))
    throw new ImageUnsafe('parent', 'it needs a parent image')
  if (header.readUInt32LE(0x168) !== 512) throw new ImageUnsafe('sector_size', 'its sectors are not 512 bytes')
  if (header.readUInt32LE(0x178) !== BLOCK_BYTES || header.readUInt32LE(0x17c) !== 0) {
    throw new ImageUnsafe('block_size', 'its blocks are not 1 MiB')
  }

  // Above 2^53 the number is rounded, but far above every limit then.
  const virtualSize = checkVirtualSize(roundUp(Number(header.readBigUInt64LE(0x170)), 512), limits)
  const blocks = header.readUInt32LE(0x180)
  if (blocks !== Math.ceil(virtualSize / BLOCK_BYTES)) {
    throw new ImageUnsafe('block_count', 'it does not have as many blocks as its disk needs')
  }
  const blocksInFile = header.readUInt32LE(0x184)
  if (blocksInFile > blocks || (type === FIXED && blocksInFile !== blocks)) {
    throw new ImageUnsafe('blocks_allocated', 'the count of blocks in its file is impossible')
  }
  const mapOffset = header.readUInt32LE(0x154)
  const dataOffset = header.readUInt32LE(0x158)
  const headerEnd = COUNTED_FROM + header.readUInt32LE(0x48)
  if (headerEnd < COUNTED_FROM + LEAST_COUNTED || headerEnd > mapOffset) {
    throw new ImageUnsafe('header_length', 'the length of its header is impossible')
  }
  if (mapOffset < HEADER_BYTES || mapOffset % 512 !== 0 || mapOffset + blocks * 4 > dataOffset) {
    throw new ImageUnsafe('block_map', 'its block map lies in its header or in its data')
  }
  if (dataOffset % 512 !== 0 || dataOffset + blocksInFile * BLOCK_BYTES > file.size) {
    throw new ImageUnsafe('data_outside', 'its file ends before its data')
  }
  return { virtualSize, blocks, blocksInFile, mapOffset, dataOffset }
}

/** For each block of the disk its place among those of the file, or NO_PLACE or above. Takes 4 bytes a MiB of the disk. */
async function readMap(file: RandomAccess, { mapOffset, blocks, blocksInFile }: Header): Promise<Uint32Array> {
  const map = await readBytes(file, mapOffset, blocks * 4)
  const places = Uint32Array.from({ length: blocks }, (_, block) => map.readUInt32LE(block * 4))
  const taken = new Uint8Array(blocksInFile)
  for (const place of places) {
    if (place >= NO_PLACE) continue
    if (place >= blocksInFile) throw new ImageUnsafe('block_outside', 'a block of its disk lies outside its file')
    if (taken[place] === 1) throw new ImageUnsafe('block_shared', 'a block of its file is used twice')
    taken[place] = 1
  }
  return places
}
