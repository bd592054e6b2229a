import { roundUp } from '../domain/bytes.ts'
import type { UnitRuns } from './allocation-map.ts'
import { eachDataUnit } from './data-units.ts'
import type { Format, Layout } from './format.ts'
import { generated, joined, literal, packedUnits } from './layout.ts'
import {
  assertFitsVmdk,
  DESCRIPTOR_AT,
  DESCRIPTOR_BYTES,
  ENTRIES_PER_TABLE,
  ENTRY_BYTES,
  GRAIN_BYTES,
  SECTOR_BYTES,
  TABLE_BYTES,
  TABLE_COVERS_BYTES,
  vmdkDescriptor,
  vmdkHeader
} from './vmdk-header.ts'
import { padded, zeros } from './zeros.ts'

const ENTRIES_PER_SECTOR = SECTOR_BYTES / ENTRY_BYTES
/** Flags: the line ends of the header are valid; there is a redundant directory. */
const FLAGS = 0b11

/** Where everything lies, in bytes of the file. */
type Plan = {
  readonly virtualSize: number
  readonly tables: number
  readonly redundantDirectoryAt: number
  readonly directoryAt: number
  readonly grainsAt: number
}

/**
 * VMDK, monolithicSparse, version 1:
 *
 *     header | descriptor | redundant grain directory and tables | grain directory and tables | grains
 *
 * All grain tables are there, empty ones too, as VMware's products and qemu write them: 128 MiB for a disk of 1 TiB.
 * @see Virtual Disk Format 5.0 (VMware technical note, 2011), "Hosted Sparse Extents"
 */
export const vmdkSparse: Format = {
  name: 'vmdk',
  extension: 'vmdk',
  mediaType: 'application/octet-stream',
  bare: false,
  layout(map) {
    assertFitsVmdk(map.virtualSize)
    const plan = planOf(map.virtualSize)
    const grains = map.units(GRAIN_BYTES)
    const tables = grainTables(plan, grains)
    const meta = joined(
      literal(vmdkHeader({ version: 1, flags: FLAGS, compressed: false, ...plan })),
      padded(vmdkDescriptor('monolithicSparse', 'ide', map.virtualSize), DESCRIPTOR_BYTES),
      grainDirectory(plan, plan.redundantDirectoryAt),
      tables,
      grainDirectory(plan, plan.directoryAt),
      tables
    )
    return joined(meta, zeros(plan.grainsAt - meta.length), packedUnits(grains, map.virtualSize))
  }
}

const directoryBytes = (tables: number): number => roundUp(tables * ENTRY_BYTES, SECTOR_BYTES)

function planOf(virtualSize: number): Plan {
  const tables = Math.ceil(virtualSize / TABLE_COVERS_BYTES)
  const oneCopy = directoryBytes(tables) + tables * TABLE_BYTES
  const redundantDirectoryAt = DESCRIPTOR_AT + DESCRIPTOR_BYTES
  const directoryAt = redundantDirectoryAt + oneCopy
  return {
    virtualSize,
    tables,
    redundantDirectoryAt,
    directoryAt,
    grainsAt: roundUp(directoryAt + oneCopy, GRAIN_BYTES)
  }
}

/** The sectors where the grain tables stand: they follow their directory, one after another. */
function grainDirectory(plan: Plan, at: number): Layout {
  const length = directoryBytes(plan.tables)
  return generated(SECTOR_BYTES, length / SECTOR_BYTES, (sector) => {
    const first = sector * ENTRIES_PER_SECTOR
    const bytes = Buffer.alloc(SECTOR_BYTES)
    for (let table = first; table < Math.min(plan.tables, first + ENTRIES_PER_SECTOR); table++) {
      bytes.writeUInt32LE((at + length + table * TABLE_BYTES) / SECTOR_BYTES, (table - first) * ENTRY_BYTES)
    }
    return bytes
  })
}

/** For each grain the sector where it stands, or 0. */
const grainTables = (plan: Plan, grains: UnitRuns): Layout =>
  generated(TABLE_BYTES, plan.tables, (table) => {
    const first = table * ENTRIES_PER_TABLE
    const bytes = Buffer.alloc(TABLE_BYTES)
    eachDataUnit(grains, first, first + ENTRIES_PER_TABLE, (grain, rank) => {
      bytes.writeUInt32LE((plan.grainsAt + rank * GRAIN_BYTES) / SECTOR_BYTES, (grain - first) * ENTRY_BYTES)
    })
    return bytes
  })
