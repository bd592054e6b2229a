import { isPowerOfTwo } from '../../../domain/bytes.ts'
import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'

const SECTOR_SIZES = [512, 1024, 2048, 4096]
/** By the number of clusters, and nothing else, is the width of the table's entries known. */
const LEAST_FAT16 = 4085
const LEAST_FAT32 = 65525
const MOST_CLUSTERS = 2 ** 28 - 12

/** Where things lie, in bytes of the volume, checked against its size. Clusters are numbered from 2. */
export type BootSector = {
  readonly bits: 12 | 16 | 32
  readonly tableStart: number
  readonly tableBytes: number
  readonly tables: number
  /** The table in use when copies are not kept alike; undefined when they are. */
  readonly onlyTable: number | undefined
  /** FAT12 and FAT16 have their root folder outside of clusters. */
  readonly rootStart: number
  readonly rootBytes: number
  readonly rootCluster: number
  readonly dataStart: number
  readonly clusterBytes: number
  readonly clusters: number
  readonly length: number
  readonly dirty: boolean
}

/** What every FAT starts with; the boot sector of NTFS or a disk with partitions has zeros or code in these fields. */
export function looksLikeFat(bytes: Buffer): boolean {
  const jump = bytes[0] === 0xeb || bytes[0] === 0xe9
  const media = bytes[21] ?? 0
  return (
    jump &&
    bytes.readUInt16LE(510) === 0xaa55 &&
    SECTOR_SIZES.includes(bytes.readUInt16LE(11)) &&
    isPowerOfTwo(bytes[13] ?? 0) &&
    bytes.readUInt16LE(14) > 0 &&
    (bytes[16] === 1 || bytes[16] === 2) &&
    (media === 0xf0 || media >= 0xf8)
  )
}

/**
 * Throws Refused for what contradicts itself or the volume's size.
 * @see Microsoft Extensible Firmware Initiative FAT32 File System Specification 1.03, "Boot Sector and BPB"
 */
export async function readBootSector(volume: Volume): Promise<BootSector> {
  const bytes = await volume.read(0, 512)
  const [u8, u16, u32] = [
    (at: number) => bytes.readUInt8(at),
    (at: number) => bytes.readUInt16LE(at),
    (at: number) => bytes.readUInt32LE(at)
  ]
  const sectorBytes = u16(11)
  const clusterSectors = u8(13)
  const sectors = u16(19) || u32(32)
  const tableSectors = u16(22) || u32(36)
  const rootSectors = Math.ceil((u16(17) * 32) / sectorBytes)
  const dataSector = u16(14) + u8(16) * tableSectors + rootSectors
  const clusters = Math.floor((sectors - dataSector) / clusterSectors)
  if (tableSectors === 0 || !(clusters > 0) || clusters > MOST_CLUSTERS || sectors * sectorBytes > volume.length) {
    throw new Refused('size', 'it is larger than its partition, or has no room for data')
  }
  const bits = clusters < LEAST_FAT16 ? 12 : clusters < LEAST_FAT32 ? 16 : 32
  const wide = u16(22) === 0
  if (wide !== (bits === 32) || wide !== (u16(17) === 0) || (wide && u16(42) !== 0)) {
    throw new Refused('fat-kind', 'its fields contradict the number of its clusters')
  }
  const tableBytes = tableSectors * sectorBytes
  if (((clusters + 2) * bits) / 8 > tableBytes)
    throw new Refused('table-size', 'its table is too small for its clusters')
  const onlyTable = wide && (u16(40) & 0x80) !== 0 ? u16(40) & 0xf : undefined
  if (onlyTable !== undefined && onlyTable >= u8(16))
    throw new Refused('table-count', 'the table in use does not exist')
  return {
    bits,
    tableStart: u16(14) * sectorBytes,
    tableBytes,
    tables: u8(16),
    onlyTable,
    rootStart: (dataSector - rootSectors) * sectorBytes,
    rootBytes: u16(17) * 32,
    rootCluster: wide ? u32(44) : 0,
    dataStart: dataSector * sectorBytes,
    clusterBytes: clusterSectors * sectorBytes,
    clusters,
    length: sectors * sectorBytes,
    // Linux marks a mounted file system here, Windows in the table.
    dirty: (u8(wide ? 65 : 37) & 1) !== 0
  }
}
