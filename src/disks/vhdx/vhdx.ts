import { roundUp } from '../../domain/bytes.ts'
import { Allocated } from '../blocks/allocated.ts'
import { BlockDisk, type BlockMap } from '../blocks/block-disk.ts'
import type { BlockPlaces } from '../blocks/block-places.ts'
import { Holes } from '../blocks/holes.ts'
import type { DiskReader } from '../disk.ts'
import { readBat } from './bat.ts'
import { readHeader } from './header.ts'
import { type Measures, readMeasures } from './measures.ts'
import { readRegions } from './regions.ts'

/** Disks of Hyper-V since 2012: fixed and dynamic ones that were closed and need no other file. */
export const vhdx: DiskReader = {
  name: 'vhdx',
  async open(file, limits) {
    const regions = await readRegions(file, await readHeader(file))
    const measures = await readMeasures(file, regions.metadata, limits)
    return new BlockDisk(file, blockMap(measures, await readBat(file, regions, measures), new Holes(file)))
  }
}

function blockMap({ blockBytes, virtualSize }: Measures, places: BlockPlaces, holes: Holes): BlockMap {
  const end = Math.ceil(virtualSize / blockBytes)
  const allocated = new Allocated(Float64Array.of(1), roundUp(end, 8))
  for (let block = 0; block < end; ) {
    const { offset, count } = places.find(block, end)
    for (let i = 0; offset !== undefined && i < count; i += 1) {
      if (!holes.cover(offset + i * blockBytes, blockBytes)) allocated.add(block + i)
    }
    block += count
  }
  return {
    blockBytes,
    virtualSize,
    allocated,
    locate(block) {
      const { offset } = places.find(block, end)
      return offset === undefined ? { kind: 'zero' } : { kind: 'data', offset }
    }
  }
}
