import { roundUp } from '../domain/bytes.ts'
import type { AllocationMap, UnitRuns } from './allocation-map.ts'
import { type Codec, eachUnit, type PackedFormat, type Packer, type Packing } from './packing.ts'
import {
  assertCountsInQcow2,
  assertFitsQcow2,
  COPIED,
  ENTRY_BYTES,
  qcow2Header,
  REFCOUNT_BYTES
} from './qcow2-header.ts'

/** "This cluster is compressed", in an L2 entry. */
const COMPRESSED = 1n << 62n
const SECTOR_BYTES = 512
const NOTHING = new Uint8Array(0)

/**
 * qcow2 version 3 with compressed clusters, 16-bit refcounts, nothing but the active disk:
 *
 *     header | refcount table | L1 | L2 tables | clusters, packed | refcount blocks
 *
 * How much room everything before the clusters takes is known from the allocation map, what stands in it only when the last
 * cluster is packed: so it is the head, and can be sent last.
 * @param clusterBits 9 to 21; 16 (64 KiB) is qemu's default
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function packedQcow2(codec: Codec, clusterBits = 16): PackedFormat {
  return {
    name: 'qcow2',
    extension: 'qcow2',
    mediaType: 'application/octet-stream',
    bare: false,
    packing: (map) => new Qcow2Packing(map, codec, clusterBits)
  }
}

class Qcow2Packing implements Packing {
  readonly codec: Codec
  readonly units: UnitRuns
  readonly storesUnpacked = true
  readonly tailHoldsDigest = false
  readonly headBytes: number
  readonly maxLength: number
  readonly virtualSize: number
  readonly clusterBits: number
  readonly clusterBytes: number
  readonly l1Entries: number
  readonly l1Clusters: number
  readonly refcountTableClusters: number
  readonly tables: UnitRuns

  constructor(map: AllocationMap, codec: Codec, clusterBits: number) {
    this.codec = codec
    this.virtualSize = map.virtualSize
    this.clusterBits = clusterBits
    this.clusterBytes = 2 ** clusterBits
    const entries = this.clusterBytes / ENTRY_BYTES
    assertFitsQcow2(map.virtualSize, this.clusterBytes)
    this.l1Entries = Math.ceil(map.virtualSize / (this.clusterBytes * entries))
    this.l1Clusters = Math.ceil(this.l1Entries / entries)
    this.tables = map.units(this.clusterBytes * entries)
    this.units = map.units(this.clusterBytes)

    // Packed clusters follow each other without a gap, each of them smaller than a cluster: so some of them, with the gap before
    // one that is stored as it is, at a cluster's edge, never take more clusters than they are.
    const fixed = 1 + this.l1Clusters + this.tables.total
    const mostClusters = fixed + this.units.total
    const mostBlocks = Math.ceil((mostClusters * 1.01) / (this.clusterBytes / REFCOUNT_BYTES)) + 1
    this.refcountTableClusters = Math.ceil(mostBlocks / entries)
    assertCountsInQcow2(this.refcountTableClusters, this.clusterBytes)
    this.headBytes = (fixed + this.refcountTableClusters) * this.clusterBytes
    this.maxLength = (mostClusters + this.refcountTableClusters + mostBlocks) * this.clusterBytes
  }

  start(): Packer {
    return new Qcow2Packer(this)
  }
}

class Qcow2Packer implements Packer {
  readonly #plan: Qcow2Packing
  /** Packed length of every unit of data, in order: all that has to be remembered of them. */
  readonly #lengths: Uint32Array
  #count = 0
  #at: number

  constructor(plan: Qcow2Packing) {
    this.#plan = plan
    this.#lengths = new Uint32Array(plan.units.total)
    this.#at = plan.headBytes
  }

  add(_unit: number, packedBytes: number) {
    this.#lengths[this.#count++] = packedBytes
    const at = this.#placeOf(this.#at, packedBytes)
    const before = at > this.#at ? new Uint8Array(at - this.#at) : NOTHING
    this.#at = at + packedBytes
    return { before, zerosAfter: 0 }
  }

  /** A cluster that is stored as it is starts at the edge of one. */
  #placeOf(at: number, packedBytes: number): number {
    return packedBytes === this.#plan.clusterBytes ? roundUp(at, packedBytes) : at
  }

  *tail(): Generator<Uint8Array> {
    const end = roundUp(this.#at, this.#plan.clusterBytes)
    if (end > this.#at) yield new Uint8Array(end - this.#at)
    yield* this.#refcountBlocks(end / this.#plan.clusterBytes)
  }

  /** Blocks stand behind everything else and count themselves. */
  #blockCount(clustersBefore: number): number {
    const perBlock = this.#plan.clusterBytes / REFCOUNT_BYTES
    return Math.ceil(clustersBefore / (perBlock - 1))
  }

  *#refcountBlocks(clustersBefore: number): Generator<Uint8Array> {
    const { clusterBytes, headBytes } = this.#plan
    const perBlock = clusterBytes / REFCOUNT_BYTES
    const blocks = this.#blockCount(clustersBefore)
    const headClusters = headBytes / clusterBytes
    const places = this.#places()
    let place = places.next()
    for (let block = 0; block < blocks; block++) {
      const bytes = Buffer.alloc(clusterBytes)
      const first = block * perBlock
      const count = (cluster: number) => {
        const at = (cluster - first) * REFCOUNT_BYTES
        if (at >= 0 && at < clusterBytes) bytes.writeUInt16BE(bytes.readUInt16BE(at) + 1, at)
      }
      for (let i = first; i < Math.min(first + perBlock, headClusters); i++) count(i)
      for (let i = Math.max(first, clustersBefore); i < Math.min(first + perBlock, clustersBefore + blocks); i++)
        count(i)
      while (!place.done) {
        const [from, to] = touched(place.value, clusterBytes)
        for (let i = from; i <= to; i++) count(i)
        if (to >= first + perBlock) break // it reaches into the next block, or lies there: counted again from there on
        place = places.next()
      }
      yield bytes
    }
  }

  /** Where every unit went, in order; nothing for those that are all zeros. */
  *#places(): Generator<{ readonly at: number; readonly bytes: number }> {
    let at = this.#plan.headBytes
    for (const bytes of this.#lengths) {
      if (bytes === 0) continue
      at = this.#placeOf(at, bytes)
      yield { at, bytes }
      at += bytes
    }
  }

  *head(): Generator<Uint8Array> {
    const { clusterBytes, clusterBits, refcountTableClusters, l1Entries, l1Clusters, tables, codec } = this.#plan
    const refcountTableAt = clusterBytes
    const l1At = refcountTableAt + refcountTableClusters * clusterBytes
    const tablesAt = l1At + l1Clusters * clusterBytes
    yield qcow2Header({
      clusterBits,
      virtualSize: this.#plan.virtualSize,
      l1Entries,
      l1At,
      refcountTableAt,
      refcountTableClusters,
      zstd: codec.name === 'zstd'
    })

    const blocksAt = roundUp(this.#at, clusterBytes)
    const table = Buffer.alloc(refcountTableClusters * clusterBytes)
    const blocks = this.#blockCount(blocksAt / clusterBytes)
    for (let i = 0; i < blocks; i++) table.writeBigUInt64BE(BigInt(blocksAt + i * clusterBytes), i * ENTRY_BYTES)
    yield table

    const l1 = Buffer.alloc(l1Clusters * clusterBytes)
    let rank = 0
    for (const index of eachUnit(tables)) {
      l1.writeBigUInt64BE(COPIED | BigInt(tablesAt + rank++ * clusterBytes), index * ENTRY_BYTES)
    }
    yield l1
    yield* this.#l2Tables()
  }

  *#l2Tables(): Generator<Uint8Array> {
    const { clusterBytes, clusterBits, units, tables } = this.#plan
    const perTable = clusterBytes / ENTRY_BYTES
    const sectorBits = BigInt(62 - (clusterBits - 8))
    const clusters = eachUnit(units)
    let cluster = clusters.next()
    let index = 0
    let at = this.#plan.headBytes
    for (const table of eachUnit(tables)) {
      const bytes = Buffer.alloc(clusterBytes)
      for (; !cluster.done && cluster.value < (table + 1) * perTable; cluster = clusters.next()) {
        const packedBytes = this.#lengths[index++] ?? 0
        if (packedBytes === 0) continue
        at = this.#placeOf(at, packedBytes)
        const sectors = Math.floor((at + packedBytes - 1) / SECTOR_BYTES) - Math.floor(at / SECTOR_BYTES)
        const entry =
          packedBytes === clusterBytes ? COPIED | BigInt(at) : COMPRESSED | (BigInt(sectors) << sectorBits) | BigInt(at)
        bytes.writeBigUInt64BE(entry, (cluster.value - table * perTable) * ENTRY_BYTES)
        at += packedBytes
      }
      yield bytes
    }
  }
}

/** First and last cluster of the file that hold any of it: whole sectors of a compressed cluster count as its own. */
function touched(
  { at, bytes }: { readonly at: number; readonly bytes: number },
  clusterBytes: number
): [number, number] {
  return [Math.floor(at / clusterBytes), Math.floor((at + bytes - 1) / clusterBytes)]
}
