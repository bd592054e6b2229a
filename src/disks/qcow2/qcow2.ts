import { type Block, BlockDisk, type BlockMap, readBytes } from '../blocks/block-disk.ts'
import { Recent } from '../blocks/recent.ts'
import type { DiskReader, RandomAccess } from '../disk.ts'
import { type Header, readHeader } from './header.ts'
import { inflateCluster } from './inflate.ts'
import { clusterOf } from './l2-entry.ts'
import { type Scanned, scanTables } from './scan.ts'

/** L2 tables are read in slices of at most this: of a disk with little on it, most of a table is never needed. */
const SLICE_BYTES = 4 * 1024
const KEPT_SLICES_BYTES = 1024 * 1024

/** Copy-on-write disks of QEMU, versions 2 and 3: the active layer of files that need no other file. */
export const qcow2: DiskReader = {
  name: 'qcow2',
  async open(file, limits) {
    const header = await readHeader(file, limits)
    return new BlockDisk(file, clusterMap(file, header, await scanTables(file, header)))
  }
}

function clusterMap(file: RandomAccess, header: Header, { l2Offsets, allocated }: Scanned): BlockMap {
  const { clusterBytes, virtualSize, compression } = header
  const tableEntries = clusterBytes / 8
  const sliceBytes = Math.min(SLICE_BYTES, clusterBytes)
  const slices = new Recent<Buffer>(KEPT_SLICES_BYTES / sliceBytes)
  const clusterIn = (slice: Buffer, at: number, guestCluster: number): Block => {
    const needed = Math.min(clusterBytes, virtualSize - guestCluster * clusterBytes)
    const cluster = clusterOf(slice.readUInt32BE(at), slice.readUInt32BE(at + 4), needed, header)
    if (cluster.kind !== 'compressed') return cluster
    return {
      kind: 'packed',
      unpack: async () =>
        inflateCluster(await readBytes(file, cluster.offset, cluster.bytes), clusterBytes, compression)
    }
  }
  return {
    blockBytes: clusterBytes,
    virtualSize,
    allocated,
    locate(guestCluster) {
      const table = l2Offsets[Math.floor(guestCluster / tableEntries)] ?? 0
      const at = (guestCluster % tableEntries) * 8
      const inSlice = at % sliceBytes
      const offset = table + at - inSlice
      const slice = slices.get(offset, () => readBytes(file, offset, sliceBytes))
      if (!(slice instanceof Promise)) return clusterIn(slice, inSlice, guestCluster)
      return slice.then((loaded) => clusterIn(loaded, inSlice, guestCluster))
    }
  }
}
