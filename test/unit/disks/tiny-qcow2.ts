import { deflateRawSync, zstdCompressSync } from 'node:zlib'

/** Where things lie in a tiny qcow2 file, in clusters of 4 KiB. */
export const CLUSTER = 4096
export const REFCOUNT_TABLE = 1 * CLUSTER
export const REFCOUNT_BLOCK = 2 * CLUSTER
export const L1 = 3 * CLUSTER
export const L2 = 4 * CLUSTER
export const DATA = 5 * CLUSTER
/** Guest cluster 3, compressed; it starts in the second sector of its host cluster. */
export const COMPRESSED = 7 * CLUSTER + 512
/** An unused cluster with a reference count. */
export const SPARE = 8 * CLUSTER

export const COPIED = 1n << 63n
export const IS_COMPRESSED = 1n << 62n

/** Offsets of the header's fields. */
export const HEADER = {
  version: 4,
  backingFile: 8,
  clusterBits: 20,
  size: 24,
  encryption: 32,
  l1Size: 36,
  l1Offset: 40,
  refcountTable: 48,
  refcountTableClusters: 56,
  snapshotCount: 60,
  snapshots: 64,
  incompatible: 72,
  autoclear: 88,
  refcountOrder: 96,
  length: 100,
  compression: 104,
  extensions: 112
} as const

/** A compressed cluster's L2 entry: how many sectors it needs beyond the first stands above its offset. */
const compressedEntry = (offset: number, bytes: number): bigint => {
  const more = Math.floor((offset + bytes - 1) / 512) - Math.floor(offset / 512)
  return IS_COMPRESSED | (BigInt(more) << 58n) | BigInt(offset)
}

export const COMPRESSED_TEXT = Buffer.alloc(CLUSTER, 'compressed text ')

/** A sound image of 4 MiB: data, data, zeros, compressed, and nothing. Tests then break one thing in it. */
export function tinyQcow2(compression: 'zlib' | 'zstd' = 'zlib'): Buffer {
  const file = Buffer.alloc(9 * CLUSTER)
  file.write('QFI\xfb', 0, 'latin1')
  file.writeUInt32BE(3, HEADER.version)
  file.writeUInt32BE(12, HEADER.clusterBits)
  file.writeBigUInt64BE(BigInt(4 * 2 ** 20), HEADER.size)
  file.writeUInt32BE(2, HEADER.l1Size)
  file.writeBigUInt64BE(BigInt(L1), HEADER.l1Offset)
  file.writeBigUInt64BE(BigInt(REFCOUNT_TABLE), HEADER.refcountTable)
  file.writeUInt32BE(1, HEADER.refcountTableClusters)
  file.writeUInt32BE(4, HEADER.refcountOrder)
  file.writeUInt32BE(112, HEADER.length)
  if (compression === 'zstd') {
    file.writeBigUInt64BE(8n, HEADER.incompatible)
    file.writeUInt8(1, HEADER.compression)
  }
  file.writeBigUInt64BE(BigInt(REFCOUNT_BLOCK), REFCOUNT_TABLE)
  for (let cluster = 0; cluster < 9; cluster += 1) file.writeUInt16BE(1, REFCOUNT_BLOCK + cluster * 2)
  file.writeBigUInt64BE(COPIED | BigInt(L2), L1)
  file.writeBigUInt64BE(COPIED | BigInt(DATA), L2)
  file.writeBigUInt64BE(COPIED | BigInt(DATA + CLUSTER), L2 + 8)
  file.writeBigUInt64BE(1n, L2 + 16)
  const packed = compression === 'zlib' ? deflateRawSync(COMPRESSED_TEXT) : zstdCompressSync(COMPRESSED_TEXT)
  putCompressed(file, packed)
  file.fill('data', DATA, DATA + 2 * CLUSTER)
  return file
}

/** Replaces the compressed bytes of guest cluster 3. */
export function putCompressed(file: Buffer, packed: Buffer): void {
  file.fill(0, COMPRESSED, SPARE)
  packed.copy(file, COMPRESSED)
  file.writeBigUInt64BE(compressedEntry(COMPRESSED, packed.length), L2 + 24)
}
