import { ImageUnsafe } from '../../domain/errors.ts'
import { Allocated } from '../blocks/allocated.ts'
import { eachTable } from '../blocks/each-table.ts'
import { Holes } from '../blocks/holes.ts'
import { Metadata } from '../blocks/metadata.ts'
import { Runs } from '../blocks/runs.ts'
import type { RandomAccess } from '../disk.ts'
import type { Header } from './header.ts'
import { type Cluster, clusterOf } from './l2-entry.ts'
import { Refcounts } from './refcounts.ts'
import { checkSnapshots } from './snapshots.ts'

/** What reading needs to know of a file whose every table was checked. */
export type Scanned = {
  /** Offsets of the L2 tables that map the disk, in its order; 0 where there is none. */
  readonly l2Offsets: Float64Array
  readonly allocated: Allocated
}

/**
 * Checks the tables of the active layer once, all of them, without keeping them: they must be where tables may be, and
 * map the disk to clusters of the file that hold nothing else. Throws ImageUnsafe.
 */
export async function scanTables(file: RandomAccess, header: Header): Promise<Scanned> {
  const { clusterBytes } = header
  const l1 = await readL1(file, header)
  const refcounts = await Refcounts.read(file, header)
  const tables = [header.l1, header.refcountTable]
  if (header.snapshots.count > 0) tables.push(await checkSnapshots(file, header))
  if (header.bitmaps) tables.push(header.bitmaps)
  const metadata = Metadata.of(
    clusterBytes,
    tables,
    refcounts.blocks,
    l1.filter((offset) => offset !== 0)
  )
  for (const cluster of metadata) refcounts.check(cluster, 1)

  // Entries past the disk's end belong to the memory of snapshots.
  const l2Offsets = l1.slice(0, Math.ceil(header.virtualSize / clusterBytes / (clusterBytes / 8)))
  const allocated = new Allocated(l2Offsets, clusterBytes / 8)
  const tally = new HostClusters(header, metadata, refcounts)
  const holes = new Holes(file)
  for await (const { index, table } of eachTable(file, l2Offsets, clusterBytes)) {
    const first = index * (clusterBytes / 8)
    const count = Math.min(clusterBytes / 8, Math.ceil(header.virtualSize / clusterBytes) - first)
    for (let i = 0; i < count; i += 1) {
      const needed = Math.min(clusterBytes, header.virtualSize - (first + i) * clusterBytes)
      const cluster = clusterOf(table.readUInt32BE(i * 8), table.readUInt32BE(i * 8 + 4), needed, header)
      if (cluster.kind === 'zero') continue
      tally.add(cluster)
      if (cluster.kind === 'data' && holes.cover(cluster.offset, needed)) continue
      allocated.add(first + i)
    }
  }
  tally.end()
  return { l2Offsets, allocated }
}

/** Offsets of all L2 tables; 0 where there is none. */
async function readL1(file: RandomAccess, { l1, clusterBytes }: Header): Promise<Float64Array> {
  const table = Buffer.alloc(l1.bytes)
  await file.read(table, l1.offset)
  const offsets = new Float64Array(table.length / 8)
  for (let i = 0; i < offsets.length; i += 1) {
    const high = table.readUInt32BE(i * 8)
    const low = table.readUInt32BE(i * 8 + 4)
    if (high === 0 && low === 0) continue
    if ((high & 0x7f000000) !== 0 || (low & 0x1ff) !== 0)
      throw new ImageUnsafe('l1_reserved', 'an L1 entry uses reserved bits')
    if (low % clusterBytes !== 0) throw new ImageUnsafe('l1_unaligned', 'an L2 table lies across clusters')
    const offset = (high & 0x00ffffff) * 2 ** 32 + low
    if (offset === 0) throw new ImageUnsafe('metadata_overlap', 'an L2 table lies in the header')
    if (offset + clusterBytes > file.size) throw new ImageUnsafe('l2_outside', 'an L2 table lies outside its file')
    offsets[i] = offset
  }
  const sorted = offsets.filter((offset) => offset !== 0).sort()
  if (sorted.some((offset, i) => i > 0 && offset === sorted[i - 1])) {
    throw new ImageUnsafe('l2_shared', 'an L2 table is used twice')
  }
  return offsets
}

/** Checks the places of clusters. */
class HostClusters {
  readonly #header: Header
  readonly #most: number
  readonly #runs: Runs
  #mapped = 0

  constructor(header: Header, metadata: Metadata, refcounts: Refcounts) {
    this.#header = header
    this.#most = Math.ceil(header.fileSize / header.clusterBytes)
    this.#runs = new Runs((first, count) => {
      if (metadata.meets(first, count)) {
        throw new ImageUnsafe('data_in_metadata', 'a cluster of its disk lies in one of its tables')
      }
      refcounts.check(first, count)
    })
  }

  add(cluster: Exclude<Cluster, { kind: 'zero' }>): void {
    const { clusterBytes } = this.#header
    const first = Math.floor(cluster.offset / clusterBytes)
    const count = cluster.kind === 'data' ? 1 : Math.ceil((cluster.offset + cluster.bytes) / clusterBytes) - first
    this.#runs.add(first, count)
    if (cluster.kind === 'data') this.#mapped += 1
    if (this.#mapped > this.#most) {
      throw new ImageUnsafe('mapped_twice', 'it maps more clusters of the disk than its file has')
    }
  }

  end(): void {
    this.#runs.end()
  }
}
