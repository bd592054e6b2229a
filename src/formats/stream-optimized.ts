import { roundUp } from '../domain/bytes.ts'
import type { AllocationMap, UnitRuns } from './allocation-map.ts'
import type { Codec, PackedFormat, Packer, Packing } from './packing.ts'
import {
  AT_END,
  assertFitsVmdk,
  ENTRIES_PER_TABLE,
  ENTRY_BYTES,
  GRAIN_BYTES,
  SECTOR_BYTES,
  TABLE_BYTES,
  TABLE_COVERS_BYTES,
  vmdkDescriptor,
  vmdkHeader
} from './vmdk-header.ts'

/** Header and descriptor, up to the edge of a grain. */
const FRONT_BYTES = GRAIN_BYTES
/** Sector and length of a grain, before its data. */
const GRAIN_MARKER_BYTES = 12
/** Deflate makes at most this of a grain that cannot be compressed. */
const LARGEST_GRAIN_BYTES = GRAIN_BYTES + 1024
/** Flags: the line ends of the header are valid; grains are compressed; there are markers. */
const FLAGS = 0x3_0001
const MARKER = { endOfStream: 0, grainTable: 1, grainDirectory: 2, footer: 3 } as const
const NOTHING = new Uint8Array(0)

/**
 * VMDK, streamOptimized, version 3: every grain compressed, tables behind what they point at, so the file goes out front to
 * back in one pass:
 *
 *     header | descriptor | (grains | their table) ... | grain directory | footer | end of stream
 * @see Virtual Disk Format 5.0 (VMware technical note, 2011), "Stream-Optimized Compressed Sparse Extents"
 */
export function streamOptimizedVmdk(level: number): PackedFormat {
  const codec: Codec = { name: 'zlib', level, windowBits: 15 }
  return {
    name: 'vmdk',
    extension: 'vmdk',
    mediaType: 'application/octet-stream',
    bare: false,
    packing: (map) => new StreamOptimizedPacking(map, codec)
  }
}

class StreamOptimizedPacking implements Packing {
  readonly codec: Codec
  readonly units: UnitRuns
  /** Every grain has to be a zlib stream, also one that grows by it. */
  readonly storesUnpacked = false
  readonly tailHoldsDigest = false
  readonly headBytes = 0
  readonly maxLength: number
  readonly virtualSize: number

  constructor(map: AllocationMap, codec: Codec) {
    assertFitsVmdk(map.virtualSize)
    this.codec = codec
    this.virtualSize = map.virtualSize
    this.units = map.units(GRAIN_BYTES)
    const tables = map.units(TABLE_COVERS_BYTES).total
    const directoryBytes = roundUp(tableCount(map.virtualSize) * ENTRY_BYTES, SECTOR_BYTES)
    this.maxLength =
      FRONT_BYTES +
      this.units.total * roundUp(LARGEST_GRAIN_BYTES + GRAIN_MARKER_BYTES, SECTOR_BYTES) +
      tables * (SECTOR_BYTES + TABLE_BYTES) +
      (SECTOR_BYTES + directoryBytes) +
      3 * SECTOR_BYTES
  }

  start(): Packer {
    return new StreamOptimizedPacker(this.virtualSize)
  }
}

const tableCount = (virtualSize: number): number => Math.ceil(virtualSize / TABLE_COVERS_BYTES)

class StreamOptimizedPacker implements Packer {
  readonly #virtualSize: number
  /** Sector of each grain table that was written, 0 for those that are not there. */
  readonly #directory: Uint32Array
  /** The grain table now being filled, and which one it is. */
  #table = Buffer.alloc(TABLE_BYTES)
  #tableIndex = -1
  #at = 0

  constructor(virtualSize: number) {
    this.#virtualSize = virtualSize
    this.#directory = new Uint32Array(tableCount(virtualSize))
  }

  add(grain: number, packedBytes: number) {
    const before = [...this.#front()]
    if (packedBytes === 0) return { before: this.#written(before), zerosAfter: 0 }
    const index = Math.floor(grain / ENTRIES_PER_TABLE)
    if (index !== this.#tableIndex) before.push(...this.#closeTable())
    this.#tableIndex = index

    const grainAt = this.#at + lengthOf(before)
    this.#table.writeUInt32LE(grainAt / SECTOR_BYTES, (grain % ENTRIES_PER_TABLE) * ENTRY_BYTES)
    const marker = Buffer.alloc(GRAIN_MARKER_BYTES)
    marker.writeBigUInt64LE(BigInt((grain * GRAIN_BYTES) / SECTOR_BYTES), 0)
    marker.writeUInt32LE(packedBytes, 8)
    before.push(marker)

    const bytes = GRAIN_MARKER_BYTES + packedBytes
    const zerosAfter = roundUp(bytes, SECTOR_BYTES) - bytes
    const written = this.#written(before)
    this.#at += packedBytes + zerosAfter
    return { before: written, zerosAfter }
  }

  *tail(): Generator<Uint8Array> {
    const pieces = [...this.#front(), ...this.#closeTable()]
    const directory = Buffer.alloc(roundUp(this.#directory.length * ENTRY_BYTES, SECTOR_BYTES))
    for (const [i, sector] of this.#directory.entries()) directory.writeUInt32LE(sector, i * ENTRY_BYTES)
    pieces.push(marker(MARKER.grainDirectory, directory.length))
    const directoryAt = this.#at + lengthOf(pieces)
    pieces.push(directory, marker(MARKER.footer, SECTOR_BYTES))
    pieces.push(this.#header(directoryAt), marker(MARKER.endOfStream, 0))
    yield this.#written(pieces)
  }

  *head(): Generator<Uint8Array> {}

  /** Header and descriptor, before the first of anything else. */
  *#front(): Generator<Buffer> {
    if (this.#at > 0) return
    yield this.#header(AT_END)
    const front = Buffer.alloc(FRONT_BYTES - SECTOR_BYTES)
    vmdkDescriptor('streamOptimized', 'lsilogic', this.#virtualSize).copy(front)
    yield front
  }

  #header(directoryAt: number | typeof AT_END): Buffer {
    return vmdkHeader({
      version: 3,
      flags: FLAGS,
      virtualSize: this.#virtualSize,
      redundantDirectoryAt: 0,
      directoryAt,
      grainsAt: FRONT_BYTES,
      compressed: true
    })
  }

  /** The table of the grains so far, behind them. */
  #closeTable(): Buffer[] {
    if (this.#tableIndex < 0) return []
    this.#directory[this.#tableIndex] = this.#at / SECTOR_BYTES + 1 // behind its marker
    const pieces = [marker(MARKER.grainTable, TABLE_BYTES), this.#table]
    this.#table = Buffer.alloc(TABLE_BYTES)
    this.#tableIndex = -1
    return pieces
  }

  #written(pieces: readonly Buffer[]): Uint8Array {
    if (pieces.length === 0) return NOTHING
    const bytes = pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces)
    this.#at += bytes.length
    return bytes
  }
}

const lengthOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0)

/** A sector that says what follows it. */
function marker(type: number, bytes: number): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES)
  sector.writeBigUInt64LE(BigInt(bytes / SECTOR_BYTES), 0)
  sector.writeUInt32LE(type, 12)
  return sector
}
