import { type AllocationMap, lastNotAbove, type UnitRuns } from './allocation-map.ts'
import { eachDataUnit } from './data-units.ts'
import type { Format, Layout } from './format.ts'
import { generated, joined, literal, packedUnits } from './layout.ts'
import {
  assertCountsInQcow2,
  assertFitsQcow2,
  COPIED,
  ENTRY_BYTES,
  qcow2Header,
  REFCOUNT_BYTES
} from './qcow2-header.ts'

/** Where everything lies, in clusters of the file. */
type Plan = {
  readonly clusterBytes: number
  readonly l1Entries: number
  readonly refcountTableClusters: number
  readonly refcountBlocks: number
  readonly l1Clusters: number
  /** L2 tables that hold anything: one unit covers what one table maps. */
  readonly tables: UnitRuns
  readonly data: UnitRuns
  readonly totalClusters: number
}

/**
 * qcow2 version 3, uncompressed, 16-bit refcounts, nothing but the active disk. All metadata stands before the data:
 *
 *     header | refcount table | refcount blocks | L1 | L2 tables | data clusters
 *
 * so the whole file follows from the allocation map and can be sent front to back, or any range of it on its own.
 * @param clusterBits 9 to 21; 16 (64 KiB) is qemu's default
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function qcow2(clusterBits = 16): Format {
  return {
    name: 'qcow2',
    extension: 'qcow2',
    mediaType: 'application/octet-stream',
    bare: false,
    layout(map) {
      const plan = planOf(map, clusterBits)
      return joined(
        literal(
          qcow2Header({
            clusterBits,
            virtualSize: map.virtualSize,
            l1Entries: plan.l1Entries,
            l1At: l1At(plan) * plan.clusterBytes,
            refcountTableAt: refcountTableAt * plan.clusterBytes,
            refcountTableClusters: plan.refcountTableClusters,
            zstd: false
          })
        ),
        refcountTable(plan),
        refcountBlocks(plan),
        l1Table(plan),
        l2Tables(plan),
        packedUnits(plan.data, map.virtualSize)
      )
    }
  }
}

function planOf(map: AllocationMap, clusterBits: number): Plan {
  const clusterBytes = 2 ** clusterBits
  const entriesPerTable = clusterBytes / ENTRY_BYTES
  const tableCovers = clusterBytes * entriesPerTable
  assertFitsQcow2(map.virtualSize, clusterBytes)
  const l1Entries = Math.ceil(map.virtualSize / tableCovers)
  const l1Clusters = Math.ceil((l1Entries * ENTRY_BYTES) / clusterBytes)
  const tables = map.units(tableCovers)
  const data = map.units(clusterBytes)
  const counted = 1 + l1Clusters + tables.total + data.total

  // Refcount blocks count themselves and their table too, so their number is a fixed point; it only grows towards it.
  let refcountBlocks = 0
  let refcountTableClusters = 0
  for (let stable = false; !stable; ) {
    const total = counted + refcountBlocks + refcountTableClusters
    const blocks = Math.ceil(total / (clusterBytes / REFCOUNT_BYTES))
    const clusters = Math.ceil((blocks * ENTRY_BYTES) / clusterBytes)
    stable = blocks === refcountBlocks && clusters === refcountTableClusters
    refcountBlocks = blocks
    refcountTableClusters = clusters
  }
  assertCountsInQcow2(refcountTableClusters, clusterBytes)
  const totalClusters = counted + refcountBlocks + refcountTableClusters
  return { clusterBytes, l1Entries, refcountTableClusters, refcountBlocks, l1Clusters, tables, data, totalClusters }
}

// The order of the file, in clusters.
const refcountTableAt = 1
const refcountBlocksAt = (plan: Plan) => refcountTableAt + plan.refcountTableClusters
const l1At = (plan: Plan) => refcountBlocksAt(plan) + plan.refcountBlocks
const tablesAt = (plan: Plan) => l1At(plan) + plan.l1Clusters
const dataAt = (plan: Plan) => tablesAt(plan) + plan.tables.total

/** A table of 8-byte entries, as many clusters as given; `entry` answers 0n for what is not there. */
function entries(plan: Plan, clusters: number, entry: (index: number) => bigint): Layout {
  const perCluster = plan.clusterBytes / ENTRY_BYTES
  return generated(plan.clusterBytes, clusters, (cluster) => {
    const bytes = Buffer.alloc(plan.clusterBytes)
    for (let i = 0; i < perCluster; i++) {
      const value = entry(cluster * perCluster + i)
      if (value !== 0n) bytes.writeBigUInt64BE(value, i * ENTRY_BYTES)
    }
    return bytes
  })
}

const refcountTable = (plan: Plan): Layout =>
  entries(plan, plan.refcountTableClusters, (block) =>
    block < plan.refcountBlocks ? BigInt((refcountBlocksAt(plan) + block) * plan.clusterBytes) : 0n
  )

function refcountBlocks(plan: Plan): Layout {
  const perBlock = plan.clusterBytes / REFCOUNT_BYTES
  return generated(plan.clusterBytes, plan.refcountBlocks, (block) => {
    const bytes = Buffer.alloc(plan.clusterBytes)
    const used = Math.min(perBlock, plan.totalClusters - block * perBlock)
    for (let i = 0; i < used; i++) bytes[i * REFCOUNT_BYTES + 1] = 1
    return bytes
  })
}

const l1Table = (plan: Plan): Layout =>
  entries(plan, plan.l1Clusters, (index) => {
    const rank = rankOf(plan.tables, index)
    return rank === undefined ? 0n : COPIED | BigInt((tablesAt(plan) + rank) * plan.clusterBytes)
  })

function l2Tables(plan: Plan): Layout {
  const perTable = plan.clusterBytes / ENTRY_BYTES
  return generated(plan.clusterBytes, plan.tables.total, (rank) => {
    const firstCluster = unitAt(plan.tables, rank) * perTable
    const bytes = Buffer.alloc(plan.clusterBytes)
    eachDataUnit(plan.data, firstCluster, firstCluster + perTable, (cluster, rank) => {
      const host = (dataAt(plan) + rank) * plan.clusterBytes
      // Two 32-bit halves: a BigInt an entry would cost more than everything else here.
      bytes.writeUInt32BE((0x8000_0000 + Math.floor(host / 2 ** 32)) >>> 0, (cluster - firstCluster) * ENTRY_BYTES)
      bytes.writeUInt32BE(host >>> 0, (cluster - firstCluster) * ENTRY_BYTES + 4)
    })
    return bytes
  })
}

/** How many units of data lie before `unit`; undefined when it holds none. */
function rankOf({ starts, counts, ranks }: UnitRuns, unit: number): number | undefined {
  const run = lastNotAbove(starts, unit)
  const inside = unit - (starts[run] ?? 0)
  return run >= 0 && inside < (counts[run] ?? 0) ? (ranks[run] ?? 0) + inside : undefined
}

/** The unit of data that has `rank` others before it. */
function unitAt({ starts, ranks }: UnitRuns, rank: number): number {
  const run = lastNotAbove(ranks, rank)
  return (starts[run] ?? 0) + (rank - (ranks[run] ?? 0))
}
