import { ImageUnsafe } from '../../domain/errors.ts'
import { type Table, tableAt } from '../blocks/table.ts'
import { checkVirtualSize } from '../bounds.ts'
import type { DiskLimits, RandomAccess } from '../disk.ts'
import { checkExtensions } from './header-extensions.ts'

export type Compression = 'zlib' | 'zstd'

/** The header's fields, every one of them checked against the real length of the file. */
export type Header = {
  readonly version: 2 | 3
  /** Bytes of the file. */
  readonly fileSize: number
  /** A power of two, 512 to 2 MiB. */
  readonly clusterBytes: number
  readonly virtualSize: number
  readonly l1: Table
  readonly refcountTable: Table
  readonly refcountBits: number
  /** The file was not closed properly: reference counts may be stale, the guest's data is not. */
  readonly dirty: boolean
  readonly compression: Compression
  readonly snapshots: { readonly count: number; readonly offset: number }
  /** The directory of dirty bitmaps, which are never read. */
  readonly bitmaps: Table | undefined
}

const V2_HEADER_BYTES = 72
const V3_HEADER_BYTES = 104
/** qemu's own limits (block/qcow2.h): what is larger was never made by it and cannot be opened with it. */
const MAX_L1_BYTES = 32 * 1024 * 1024
const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024
/** Ours. A few hundred are a night's work for a person and tens of thousands a bomb. */
const MAX_SNAPSHOTS = 256

const DIRTY = 1n << 0n
const CORRUPT = 1n << 1n
const DATA_FILE = 1n << 2n
const COMPRESSION_TYPE = 1n << 3n
const EXTENDED_L2 = 1n << 4n
const BITMAPS_CONSISTENT = 1n << 0n

/**
 * Reads the first cluster of a qcow2 file.
 * Throws ImageUnsafe for whatever is broken, not understood, or points outside the file.
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst
 */
export async function readHeader(file: RandomAccess, limits: DiskLimits): Promise<Header> {
  const fixed = Buffer.alloc(Math.min(V3_HEADER_BYTES, file.size))
  await file.read(fixed, 0)
  if (fixed.length < 8 || fixed.readUInt32BE(0) !== 0x514649fb) throw new ImageUnsafe('magic', 'it is no qcow2 file')
  const version = fixed.readUInt32BE(4)
  if (version !== 2 && version !== 3) throw new ImageUnsafe('version', 'its qcow2 version is neither 2 nor 3')
  if (fixed.length < (version === 2 ? V2_HEADER_BYTES : V3_HEADER_BYTES)) {
    throw new ImageUnsafe('truncated', 'its file ends inside the header')
  }
  const clusterBits = fixed.readUInt32BE(20)
  if (clusterBits < 9 || clusterBits > 21) throw new ImageUnsafe('cluster_bits', 'its clusters are not 512 B to 2 MiB')
  const clusterBytes = 2 ** clusterBits

  const cluster = Buffer.alloc(Math.min(clusterBytes, file.size))
  await file.read(cluster, 0)
  refuseOtherFiles(cluster)
  const features = version === 3 ? cluster.readBigUInt64BE(72) : 0n
  checkFeatures(features)
  const headerBytes = version === 3 ? cluster.readUInt32BE(100) : V2_HEADER_BYTES
  if (headerBytes > cluster.length || headerBytes % 8 !== 0 || (version === 3 && headerBytes < V3_HEADER_BYTES)) {
    throw new ImageUnsafe('header_length', 'the length of its header is impossible')
  }
  const refcountOrder = version === 3 ? cluster.readUInt32BE(96) : 4
  if (refcountOrder > 6) throw new ImageUnsafe('refcount_order', 'its reference counts are wider than 64 bits')
  const compression = compressionOf(features, headerBytes > 104 ? cluster.readUInt8(104) : 0)
  const bitmaps = checkExtensions(cluster.subarray(headerBytes), clusterBytes, file.size)

  // qemu shows its guests whole sectors and rounds down; so the disk that was in use ends there.
  const sectors = cluster.readBigUInt64BE(24) / 512n
  const virtualSize = checkVirtualSize(Number(sectors) * 512, limits)
  const table = (rule: string, offsetAt: number, bytes: number): Table => {
    const found = tableAt(cluster.readBigUInt64BE(offsetAt), bytes, clusterBytes, file.size)
    if (!found) throw new ImageUnsafe(rule, 'a table of its header lies across clusters or outside its file')
    return found
  }
  const l1Bytes = cluster.readUInt32BE(36) * 8
  if (l1Bytes / 8 < Math.ceil(virtualSize / clusterBytes / (clusterBytes / 8)) || l1Bytes > MAX_L1_BYTES) {
    throw new ImageUnsafe('l1_size', 'its L1 table is too small for its disk, or too large for any')
  }
  const refcountTableBytes = cluster.readUInt32BE(56) * clusterBytes
  if (refcountTableBytes === 0 || refcountTableBytes > MAX_REFCOUNT_TABLE_BYTES) {
    throw new ImageUnsafe('refcount_table_size', 'its refcount table is empty or too large')
  }
  const snapshotCount = cluster.readUInt32BE(60)
  if (snapshotCount > MAX_SNAPSHOTS) throw new ImageUnsafe('snapshot_count', `it has over ${MAX_SNAPSHOTS} snapshots`)
  return {
    version,
    fileSize: file.size,
    clusterBytes,
    virtualSize,
    l1: table('l1_table', 40, l1Bytes),
    refcountTable: table('refcount_table', 48, refcountTableBytes),
    refcountBits: 2 ** refcountOrder,
    dirty: (features & DIRTY) !== 0n,
    compression,
    snapshots: { count: snapshotCount, offset: snapshotCount === 0 ? 0 : table('snapshot_table', 64, 1).offset },
    bitmaps: version === 3 && (cluster.readBigUInt64BE(88) & BITMAPS_CONSISTENT) !== 0n ? bitmaps : undefined
  }
}

function refuseOtherFiles(cluster: Buffer): void {
  if (cluster.readBigUInt64BE(8) !== 0n) throw new ImageUnsafe('backing_file', 'it needs a backing file')
  if (cluster.readUInt32BE(32) !== 0) throw new ImageUnsafe('encryption', 'it is encrypted')
}

function checkFeatures(features: bigint): void {
  if ((features & DATA_FILE) !== 0n) throw new ImageUnsafe('data_file', 'its data lies in another file')
  if ((features & CORRUPT) !== 0n) throw new ImageUnsafe('corrupt', 'it is marked as corrupt; repair it first')
  if ((features & EXTENDED_L2) !== 0n) throw new ImageUnsafe('extended_l2', 'subclusters are not supported')
  if ((features & ~(DIRTY | COMPRESSION_TYPE)) !== 0n) {
    throw new ImageUnsafe('incompatible_features', 'it uses features that are not known here')
  }
}

function compressionOf(features: bigint, type: number): Compression {
  const declared = (features & COMPRESSION_TYPE) !== 0n
  if (!declared && type === 0) return 'zlib'
  if (declared && type === 1) return 'zstd'
  throw new ImageUnsafe('compression_type', 'its compression type is unknown or contradicts its feature bits')
}
