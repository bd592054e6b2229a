import { isPowerOfTwo } from '../../domain/bytes.ts'
import { ImageUnsafe } from '../../domain/errors.ts'
import { readBytes } from '../blocks/block-disk.ts'
import { type Table, tableAt } from '../blocks/table.ts'
import { checkVirtualSize } from '../bounds.ts'
import type { DiskLimits, RandomAccess } from '../disk.ts'

/** The header's fields, every one of them checked against the real length of the file. */
export type Header = {
  /** Bytes of the file, whole sectors. */
  readonly fileSize: number
  readonly virtualSize: number
  /** A power of two, 4 KiB to 1 MiB. */
  readonly grainBytes: number
  /** True for streamOptimized: every grain is compressed and stands behind its marker. */
  readonly compressed: boolean
  /** Whether an entry of 1 is a grain of zeros. */
  readonly zeroedGrains: boolean
  readonly descriptor: Table
  /** The grain directory, in which the offsets of grain tables stand. */
  readonly directory: Table
  /** Its copy, which is not read for its content. */
  readonly spareDirectory: Table | undefined
  /** The markers and the copy of the header that end a stream. */
  readonly footer: Table | undefined
}

export const SECTOR = 512
/** Fixed by the format. */
export const GRAINS_PER_TABLE = 512
/** The format's smallest grain, in sectors. */
const MIN_GRAIN = 8
/** Ours: one grain is held in memory. Writers make 128 sectors, all of them. */
const MAX_GRAIN = 2048
/** Ours: what VirtualBox takes at most. Writers make 20 sectors. */
const MAX_DESCRIPTOR_SECTORS = 256

const NEWLINE_TEST = 1 << 0
const SPARE_DIRECTORY = 1 << 1
const ZEROED_GRAINS = 1 << 2
const COMPRESSED = 1 << 16
const MARKERS = 1 << 17
const DIRECTORY_AT_END = 2n ** 64n - 1n
const DEFLATE = 1
const FOOTER_MARKER = 3
/** Marker, copy of the header, marker of the end: a sector each. */
const FOOTER_BYTES = 3 * SECTOR

/**
 * Reads the header of a hosted sparse extent, and the footer where the header leaves the directory's place to it.
 * Throws ImageUnsafe for whatever is broken, not understood, or points outside the file.
 * @see "Virtual Disk Format 5.0", VMware, "Hosted Sparse Extent Header"
 */
export async function readHeader(file: RandomAccess, limits: DiskLimits): Promise<Header> {
  const header = await readBytes(file, 0, Math.min(SECTOR, file.size))
  if (header.toString('latin1', 0, 4) !== 'KDMV') {
    throw new ImageUnsafe('magic', 'it is no vmdk of the kinds monolithicSparse and streamOptimized')
  }
  if (file.size % SECTOR !== 0) throw new ImageUnsafe('truncated', 'its file does not end with a whole sector')
  const { compressed, zeroedGrains, flags } = checkFeatures(header)

  // Above 2^53 numbers are rounded, but far outside every bound then.
  const capacity = Number(header.readBigUInt64LE(12))
  const virtualSize = checkVirtualSize(capacity * SECTOR, limits)
  const grain = Number(header.readBigUInt64LE(20))
  if (!(grain >= MIN_GRAIN && grain <= MAX_GRAIN) || !isPowerOfTwo(grain)) {
    throw new ImageUnsafe('grain_size', 'its grains are not 4 KiB to 1 MiB')
  }
  if (header.readUInt32LE(44) !== GRAINS_PER_TABLE) {
    throw new ImageUnsafe('grain_table_size', `its grain tables do not have ${GRAINS_PER_TABLE} entries`)
  }
  const atEnd = header.readBigUInt64LE(56) === DIRECTORY_AT_END
  if (atEnd && !compressed) throw new ImageUnsafe('grain_directory', 'only a stream may end with its grain directory')
  const places = atEnd ? await readFooter(file, header) : header
  if (places.readBigUInt64LE(64) > BigInt(file.size / SECTOR)) {
    throw new ImageUnsafe('truncated', 'its file ends in its metadata')
  }
  const directoryBytes = Math.ceil(capacity / grain / GRAINS_PER_TABLE) * 4
  const directory = (at: number): Table => {
    const found = sectorsAt(places.readBigUInt64LE(at), directoryBytes, file.size)
    if (!found) throw new ImageUnsafe('grain_directory', 'its grain directory lies outside its file')
    return found
  }
  return {
    fileSize: file.size,
    virtualSize,
    grainBytes: grain * SECTOR,
    compressed,
    zeroedGrains,
    descriptor: descriptorPlace(header, file.size),
    directory: directory(56),
    spareDirectory: (flags & SPARE_DIRECTORY) !== 0 ? directory(48) : undefined,
    footer: atEnd ? { offset: file.size - FOOTER_BYTES, bytes: FOOTER_BYTES } : undefined
  }
}

function checkFeatures(header: Buffer): { compressed: boolean; zeroedGrains: boolean; flags: number } {
  const version = header.readUInt32LE(4)
  if (version < 1 || version > 3) throw new ImageUnsafe('version', 'its vmdk version is not 1 to 3')
  const flags = header.readUInt32LE(8)
  const zeroedGrains = (flags & ZEROED_GRAINS) !== 0
  // In version 1 readers disagree what an entry of 1 means.
  if (
    (flags & ~(NEWLINE_TEST | SPARE_DIRECTORY | ZEROED_GRAINS | COMPRESSED | MARKERS)) !== 0 ||
    (zeroedGrains && version === 1)
  ) {
    throw new ImageUnsafe('flags', 'it uses features that are not known here')
  }
  if ((flags & NEWLINE_TEST) !== 0 && header.toString('latin1', 73, 77) !== '\n \r\n') {
    throw new ImageUnsafe('newlines', 'it was changed on its way by a transfer as text')
  }
  const algorithm = header.readUInt16LE(77)
  const compressed = algorithm === DEFLATE
  if (algorithm > DEFLATE || compressed !== ((flags & COMPRESSED) !== 0) || compressed !== ((flags & MARKERS) !== 0)) {
    throw new ImageUnsafe('compression', 'its compression is unknown or contradicts its flags')
  }
  return { compressed, zeroedGrains, flags }
}

/** qemu looks for a parent from sector 1 on, wherever the header says that the descriptor is. So it must be there. */
function descriptorPlace(header: Buffer, fileSize: number): Table {
  const sectors = header.readBigUInt64LE(36)
  const place =
    sectors <= BigInt(MAX_DESCRIPTOR_SECTORS)
      ? sectorsAt(header.readBigUInt64LE(28), Number(sectors) * SECTOR, fileSize)
      : undefined
  if (place?.offset !== SECTOR || place.bytes === 0) {
    throw new ImageUnsafe('descriptor_place', 'its descriptor does not follow its header, or is too long')
  }
  return place
}

/** The copy of the header that ends a stream; it alone knows where the directory is, and may say nothing else anew. */
async function readFooter(file: RandomAccess, header: Buffer): Promise<Buffer> {
  const unsafe = () => new ImageUnsafe('footer', 'it does not end with a footer that agrees with its header')
  if (file.size < FOOTER_BYTES + SECTOR) throw unsafe()
  const end = await readBytes(file, file.size - FOOTER_BYTES, FOOTER_BYTES)
  const marker = end.subarray(0, SECTOR)
  const footer = end.subarray(SECTOR, 2 * SECTOR)
  const last = end.subarray(2 * SECTOR)
  if (marker.readUInt32LE(8) !== 0 || marker.readUInt32LE(12) !== FOOTER_MARKER) throw unsafe()
  if (last.some((byte) => byte !== 0)) throw unsafe()
  for (const [from, to] of FOOTER_REPEATS)
    if (!footer.subarray(from, to).equals(header.subarray(from, to))) throw unsafe()
  return footer
}

/** From the magic to the size of tables, and the compression: all that decides how the file is read. */
const FOOTER_REPEATS = [
  [0, 48],
  [77, 79]
] as const

const sectorsAt = (sector: bigint, bytes: number, fileSize: number): Table | undefined =>
  tableAt(sector * BigInt(SECTOR), bytes, SECTOR, fileSize)
