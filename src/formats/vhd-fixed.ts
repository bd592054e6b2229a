import type { Format } from './format.ts'
import { joined, literal, sparseDisk } from './layout.ts'
import { stableUuid } from './stable-uuid.ts'
import { SECTOR_BYTES, vhdFooter } from './vhd-footer.ts'

/**
 * Fixed VHD: the bare disk and a footer.
 * @see Virtual Hard Disk Image Format Specification 1.0 (Microsoft, 2006)
 */
export const vhdFixed: Format = {
  name: 'vhd',
  extension: 'vhd',
  mediaType: 'application/octet-stream',
  bare: true,
  layout(map) {
    const runs = map.units(SECTOR_BYTES)
    const footer = vhdFooter('fixed', map.virtualSize, stableUuid('vhd', map.virtualSize, runs))
    return joined(sparseDisk(runs, map.virtualSize), literal(footer))
  }
}
