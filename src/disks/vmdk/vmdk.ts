import { type Block, BlockDisk, type BlockMap, readBytes } from '../blocks/block-disk.ts'
import { Recent } from '../blocks/recent.ts'
import type { DiskReader, RandomAccess } from '../disk.ts'
import { checkDescriptor } from './descriptor.ts'
import { grainAt, unpackGrain } from './grain.ts'
import { GRAINS_PER_TABLE, type Header, readHeader, SECTOR } from './header.ts'
import { type Scanned, scanTables, TABLE_BYTES } from './scan.ts'

const KEPT_TABLES_BYTES = 2 * 1024 * 1024

/**
 * Disks of VMware that are one file: monolithicSparse and streamOptimized, with the descriptor inside. Every other kind
 * names files, and a bare descriptor names nothing else.
 */
export const vmdk: DiskReader = {
  name: 'vmdk',
  async open(file, limits) {
    const header = await readHeader(file, limits)
    const { compressed, descriptor, grainBytes, virtualSize } = header
    checkDescriptor(await readBytes(file, descriptor.offset, descriptor.bytes), {
      compressed,
      capacity: virtualSize / SECTOR,
      grain: grainBytes / SECTOR
    })
    return new BlockDisk(file, grainMap(file, header, await scanTables(file, header)))
  }
}

function grainMap(file: RandomAccess, header: Header, { tables, allocated }: Scanned): BlockMap {
  const recent = new Recent<Buffer>(KEPT_TABLES_BYTES / TABLE_BYTES)
  const grainIn = (table: Buffer, grain: number): Block => {
    const offset = grainAt(table.readUInt32LE((grain % GRAINS_PER_TABLE) * 4), grain, header)
    if (offset === 0) return { kind: 'zero' }
    if (!header.compressed) return { kind: 'data', offset }
    return { kind: 'packed', unpack: () => unpackGrain(file, offset, grain, header) }
  }
  return {
    blockBytes: header.grainBytes,
    virtualSize: header.virtualSize,
    allocated,
    locate(grain) {
      const at = tables[Math.floor(grain / GRAINS_PER_TABLE)] ?? 0
      const table = recent.get(at, () => readBytes(file, at, TABLE_BYTES))
      return table instanceof Promise ? table.then((loaded) => grainIn(loaded, grain)) : grainIn(table, grain)
    }
  }
}
