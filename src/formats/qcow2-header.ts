import { TiB } from '../domain/bytes.ts'
import { FormatLimitExceeded } from '../domain/errors.ts'

export const ENTRY_BYTES = 8
export const REFCOUNT_BYTES = 2
/** "This cluster's refcount is exactly one", in L1 and L2 entries. */
export const COPIED = 1n << 63n

const HEADER_BYTES = 112
/** Incompatible feature: byte 104 says how clusters are compressed. Without it that is deflate. */
const COMPRESSION_TYPE = 1n << 3n
const ZSTD = 1
/** qemu refuses an L1 table above 32 MiB (`QCOW_MAX_L1_SIZE`). */
const MAX_L1_BYTES = 32 * 1024 * 1024
/** qemu refuses a refcount table above 8 MiB (`QCOW_MAX_REFTABLE_SIZE`), and so does our own reader. */
const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024
/** Offsets are kept exact in a double below 2^53; no image we may read comes near. */
export const QCOW2_MAX_VIRTUAL_SIZE = 2048 * TiB

/** @throws FormatLimitExceeded for a disk that one L1 table could not map */
export function assertFitsQcow2(virtualSize: number, clusterBytes: number): void {
  const tableCovers = clusterBytes * (clusterBytes / ENTRY_BYTES)
  const maxVirtualSize = Math.min(QCOW2_MAX_VIRTUAL_SIZE, (MAX_L1_BYTES / ENTRY_BYTES) * tableCovers)
  if (virtualSize > maxVirtualSize) throw new FormatLimitExceeded('qcow2', maxVirtualSize)
}

/**
 * What one refcount table counts grows with the square of the clusters' size, so only files of small ones are ever too long.
 * @throws FormatLimitExceeded for a file that has more clusters than that, or may have
 */
export function assertCountsInQcow2(refcountTableClusters: number, clusterBytes: number): void {
  if (refcountTableClusters * clusterBytes <= MAX_REFCOUNT_TABLE_BYTES) return
  const tableCovers = (MAX_REFCOUNT_TABLE_BYTES / ENTRY_BYTES) * (clusterBytes / REFCOUNT_BYTES) * clusterBytes
  const larger = { of: 'file', instead: 'a larger cluster_size' }
  throw new FormatLimitExceeded(`qcow2 with clusters of ${clusterBytes} bytes`, tableCovers, larger)
}

/** The first cluster of a version 3 file with 16-bit refcounts. Sizes and places in bytes. */
export function qcow2Header(fields: {
  readonly clusterBits: number
  readonly virtualSize: number
  readonly l1Entries: number
  readonly l1At: number
  readonly refcountTableAt: number
  readonly refcountTableClusters: number
  readonly zstd: boolean
}): Uint8Array {
  const bytes = Buffer.alloc(2 ** fields.clusterBits)
  bytes.write('QFI\xfb', 0, 'latin1')
  bytes.writeUInt32BE(3, 4) // version
  bytes.writeUInt32BE(fields.clusterBits, 20)
  bytes.writeBigUInt64BE(BigInt(fields.virtualSize), 24)
  bytes.writeUInt32BE(fields.l1Entries, 36)
  bytes.writeBigUInt64BE(BigInt(fields.l1At), 40)
  bytes.writeBigUInt64BE(BigInt(fields.refcountTableAt), 48)
  bytes.writeUInt32BE(fields.refcountTableClusters, 56)
  if (fields.zstd) bytes.writeBigUInt64BE(COMPRESSION_TYPE, 72)
  bytes.writeUInt32BE(4, 96) // refcount_order: 16 bits
  bytes.writeUInt32BE(HEADER_BYTES, 100)
  if (fields.zstd) bytes.writeUInt8(ZSTD, 104)
  return bytes // the zeros after it end the list of header extensions
}
