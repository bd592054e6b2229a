import { MiB } from '../../../src/domain/bytes.ts'

/** Offsets of the header's fields. */
export const HEADER = {
  version: 0x44,
  length: 0x48,
  type: 0x4c,
  map: 0x154,
  data: 0x158,
  sectorSize: 0x168,
  size: 0x170,
  blockSize: 0x178,
  blockExtra: 0x17c,
  blocks: 0x180,
  allocated: 0x184,
  link: 0x1a8,
  parent: 0x1b8
} as const

export const BMAP = 1024
export const DATA = 2048
export const SIZE = 3 * MiB + 1536

/** A sound dynamic image: its first block second in the file, a block never written, one of zeros, and a part of a block. */
export function tinyVdi(): Buffer {
  const file = Buffer.alloc(DATA + 2 * MiB)
  file.write('<<< a tiny disk image >>>\n')
  file.writeUInt32LE(0xbeda107f, 0x40)
  file.writeUInt32LE(0x00010001, HEADER.version)
  file.writeUInt32LE(0x180, HEADER.length)
  file.writeUInt32LE(1, HEADER.type)
  file.writeUInt32LE(BMAP, HEADER.map)
  file.writeUInt32LE(DATA, HEADER.data)
  file.writeUInt32LE(512, HEADER.sectorSize)
  file.writeBigUInt64LE(BigInt(SIZE), HEADER.size)
  file.writeUInt32LE(MiB, HEADER.blockSize)
  file.writeUInt32LE(4, HEADER.blocks)
  file.writeUInt32LE(2, HEADER.allocated)
  for (const [block, place] of [1, 0xffffffff, 0xfffffffe, 0].entries()) file.writeUInt32LE(place, BMAP + block * 4)
  file.fill('last', DATA, DATA + 1536)
  file.fill('first', DATA + MiB)
  return file
}

export function tinyReference(): Buffer {
  const disk = Buffer.alloc(SIZE)
  disk.fill('first', 0, MiB)
  disk.fill('last', 3 * MiB)
  return disk
}
