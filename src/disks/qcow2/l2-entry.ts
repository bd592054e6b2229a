import { ImageUnsafe } from '../../domain/errors.ts'
import type { Header } from './header.ts'

/** Where a guest cluster lies. `offset` and `bytes` are of the file; a compressed cluster may end before `bytes` do. */
export type Cluster =
  | { readonly kind: 'zero' }
  | { readonly kind: 'data'; readonly offset: number }
  | { readonly kind: 'compressed'; readonly offset: number; readonly bytes: number }

const ZERO: Cluster = { kind: 'zero' }

const COPIED = 0x80000000
const COMPRESSED = 0x40000000
/** Bits 56 to 61, in the upper half of the entry. */
const RESERVED_HIGH = 0x3f000000
/** Bits 1 to 8. */
const RESERVED_LOW = 0x1fe
const OFFSET_HIGH = 0x00ffffff
const READS_ZERO = 1

/**
 * Takes an L2 entry apart. The halves are taken as 32-bit numbers because 64-bit ones would cost an allocation for every
 * cluster of the disk.
 * @param high bits 32 to 63
 * @param low bits 0 to 31
 * @param needed bytes of the cluster that lie within the disk: the last cluster may be cut off after them
 */
export function clusterOf(high: number, low: number, needed: number, header: Header): Cluster {
  if (high === 0 && low === 0) return ZERO
  if ((high & COMPRESSED) !== 0) return compressedCluster(high, low, header)
  const readsZero = (low & READS_ZERO) !== 0
  const offsetLow = (low & ~READS_ZERO) >>> 0
  if ((high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0 || (readsZero && header.version === 2)) {
    throw new ImageUnsafe('l2_reserved', 'an L2 entry uses reserved bits')
  }
  if (offsetLow % header.clusterBytes !== 0) throw new ImageUnsafe('l2_unaligned', 'a cluster lies across clusters')
  // Above 2^53 the sum is rounded, but it is far outside any file then.
  const offset = (high & OFFSET_HIGH) * 2 ** 32 + offsetLow
  if (readsZero) return ZERO
  if (offset === 0) throw new ImageUnsafe('data_in_metadata', 'a cluster of its disk lies in the header')
  if (offset + needed > header.fileSize)
    throw new ImageUnsafe('data_outside', 'a cluster of its disk lies outside its file')
  return { kind: 'data', offset }
}

/** Of the descriptor's 62 bits the upper `clusterBits - 8` count further sectors, the rest is an offset in bytes. */
function compressedCluster(high: number, low: number, header: Header): Cluster {
  if ((high & COPIED) !== 0) throw new ImageUnsafe('l2_reserved', 'a compressed cluster is marked as copied')
  const offsetHighBits = 30 - (Math.log2(header.clusterBytes) - 8)
  const descriptorHigh = high & 0x3fffffff
  const sectors = (descriptorHigh >>> offsetHighBits) + 1
  const offset = (descriptorHigh & (2 ** offsetHighBits - 1)) * 2 ** 32 + low
  const end = (Math.floor(offset / 512) + sectors) * 512
  // The file may end in the last sector, for the compressed bytes need not fill it.
  if (offset < header.clusterBytes)
    throw new ImageUnsafe('data_in_metadata', 'a cluster of its disk lies in the header')
  if (offset >= header.fileSize || end > Math.ceil(header.fileSize / 512) * 512) {
    throw new ImageUnsafe('compressed_outside', 'a compressed cluster lies outside its file')
  }
  return { kind: 'compressed', offset, bytes: Math.min(end, header.fileSize) - offset }
}
