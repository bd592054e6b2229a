import type { Format } from './format.ts'
import { sparseDisk } from './layout.ts'

const SECTOR_BYTES = 512

/** The disk and nothing else. */
export const raw: Format = {
  name: 'raw',
  extension: 'raw',
  mediaType: 'application/octet-stream',
  bare: true,
  layout: (map) => sparseDisk(map.units(SECTOR_BYTES), map.virtualSize)
}
