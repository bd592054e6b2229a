import { deflateSync } from 'node:zlib'

export const SECTOR = 512
export const GRAIN = 128 * SECTOR
/** Bytes of the disk: five grains and a part of a sixth. */
export const SIZE = 5 * GRAIN + 3 * SECTOR

/** Offsets of the header's fields. */
export const HEADER = {
  version: 4,
  flags: 8,
  capacity: 12,
  grain: 20,
  descriptor: 28,
  descriptorSize: 36,
  tableEntries: 44,
  spareDirectory: 48,
  directory: 56,
  overhead: 64,
  newlines: 73,
  algorithm: 77
} as const

export const DESCRIPTOR = 1 * SECTOR
export const DESCRIPTOR_BYTES = 20 * SECTOR
/** Where the spare directory, its table, the directory and its table lie in a sparse file. */
export const SPARE = 21 * SECTOR
export const SPARE_TABLE = 22 * SECTOR
export const DIRECTORY = 26 * SECTOR
export const TABLE = 27 * SECTOR
export const DATA = 128 * SECTOR

export const TEXT = Buffer.alloc(GRAIN, 'compressed text ')
export const NOISE = Buffer.from(Array.from({ length: GRAIN }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255))
const LAST = Buffer.alloc(3 * SECTOR, 'the last sectors')

/** What the tiny images read as: noise, text, nothing, zeros, nothing, and three sectors. */
export function tinyReference(): Buffer {
  const disk = Buffer.alloc(SIZE)
  NOISE.copy(disk)
  TEXT.copy(disk, GRAIN)
  LAST.copy(disk, 5 * GRAIN)
  return disk
}

export function descriptor(createType: string, more = ''): string {
  return [
    '# Disk DescriptorFile',
    'version=1',
    'CID=123a5678',
    'parentCID=ffffffff',
    'isNativeSnapshot="no"',
    `createType="${createType}"`,
    '',
    '# Extent description',
    `RW ${SIZE / SECTOR} SPARSE "tiny disk.vmdk"`,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.virtualHWVersion = "4"',
    'ddb.geometry.cylinders = "1"',
    'ddb.adapterType = "ide"',
    more
  ].join('\n')
}

/** Replaces the text of the descriptor. */
export function putDescriptor(file: Buffer, text: string): void {
  file.fill(0, DESCRIPTOR, DESCRIPTOR + DESCRIPTOR_BYTES)
  file.write(text, DESCRIPTOR, 'latin1')
}

function putHeader(file: Buffer, at: number, fields: { version: number; flags: number; algorithm: number }): void {
  file.write('KDMV', at, 'latin1')
  file.writeUInt32LE(fields.version, at + HEADER.version)
  file.writeUInt32LE(fields.flags, at + HEADER.flags)
  file.writeBigUInt64LE(BigInt(SIZE / SECTOR), at + HEADER.capacity)
  file.writeBigUInt64LE(128n, at + HEADER.grain)
  file.writeBigUInt64LE(1n, at + HEADER.descriptor)
  file.writeBigUInt64LE(20n, at + HEADER.descriptorSize)
  file.writeUInt32LE(512, at + HEADER.tableEntries)
  file.writeBigUInt64LE(128n, at + HEADER.overhead)
  file.write('\n \r\n', at + HEADER.newlines, 'latin1')
  file.writeUInt16LE(fields.algorithm, at + HEADER.algorithm)
}

/**
 * A sound monolithicSparse image, as a writer would make it that knows zeroed grains; its first two stand the other way
 * round in the file. Tests break one thing in it.
 */
export function tinySparse(): Buffer {
  const file = Buffer.alloc(DATA + 2 * GRAIN + LAST.length)
  putHeader(file, 0, { version: 2, flags: 0b111, algorithm: 0 })
  file.writeBigUInt64LE(BigInt(SPARE / SECTOR), HEADER.spareDirectory)
  file.writeBigUInt64LE(BigInt(DIRECTORY / SECTOR), HEADER.directory)
  putDescriptor(file, descriptor('monolithicSparse'))
  const data = DATA / SECTOR
  for (const [directory, table] of [
    [SPARE, SPARE_TABLE],
    [DIRECTORY, TABLE]
  ] as const) {
    file.writeUInt32LE(table / SECTOR, directory)
    const entries = [data + 128, data, 0, 1, 0, data + 256]
    entries.forEach((entry, grain) => {
      file.writeUInt32LE(entry, table + grain * 4)
    })
  }
  TEXT.copy(file, DATA)
  NOISE.copy(file, DATA + GRAIN)
  LAST.copy(file, DATA + 2 * GRAIN)
  return file
}

/** A grain behind its marker, filled up to a sector. */
export function packedGrain(grain: number, packed: Buffer, size = packed.length): Buffer {
  const marker = Buffer.alloc(12)
  marker.writeBigUInt64LE(BigInt(grain * 128))
  marker.writeUInt32LE(size, 8)
  return wholeSectors(Buffer.concat([marker, packed]))
}

const wholeSectors = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (SECTOR - 1))])

function marker(sectors: number, type: number): Buffer {
  const bytes = Buffer.alloc(SECTOR)
  bytes.writeBigUInt64LE(BigInt(sectors))
  bytes.writeUInt32LE(type, 12)
  return bytes
}

/** What a stream holds: for each grain of the disk its packed form, or nothing. */
export type Grains = readonly (Buffer | undefined)[]

export const TINY_GRAINS: Grains = [
  packedGrain(0, deflateSync(NOISE)),
  packedGrain(1, deflateSync(TEXT)),
  undefined,
  packedGrain(3, deflateSync(Buffer.alloc(GRAIN))),
  undefined,
  packedGrain(5, deflateSync(LAST))
]

/** A streamOptimized image as VMware and VirtualBox write it: table, directory and footer follow the grains. */
export function tinyStream(grains: Grains = TINY_GRAINS): Buffer {
  const start = Buffer.alloc(DATA)
  putHeader(start, 0, { version: 3, flags: 0x30001, algorithm: 1 })
  putDescriptor(start, descriptor('streamOptimized'))
  start.writeBigUInt64LE(2n ** 64n - 1n, HEADER.directory)

  const table = Buffer.alloc(4 * SECTOR)
  let at = start.length
  grains.forEach((packed, grain) => {
    if (packed) table.writeUInt32LE(at / SECTOR, grain * 4)
    at += packed?.length ?? 0
  })
  const directory = Buffer.alloc(SECTOR)
  directory.writeUInt32LE(at / SECTOR + 1, 0)
  const footer = Buffer.from(start.subarray(0, SECTOR))
  footer.writeBigUInt64LE(BigInt(at / SECTOR + 6), HEADER.directory)
  return Buffer.concat([
    start,
    ...grains.filter((packed) => packed !== undefined),
    marker(4, 1),
    table,
    marker(1, 2),
    directory,
    marker(1, 3),
    footer,
    marker(0, 0)
  ])
}

/** Where things lie in a stream, from its end. */
export const FROM_END = { footer: -2 * SECTOR, footerMarker: -3 * SECTOR, directory: -4 * SECTOR, table: -9 * SECTOR }
