import type { FormatFamily } from './format-family.ts'
import { ova } from './ova.ts'
import { qcow2Family } from './qcow2-family.ts'
import { raw } from './raw.ts'
import { streamOptimizedVmdk } from './stream-optimized.ts'
import { VDI_MAX_VIRTUAL_SIZE, vdi } from './vdi.ts'
import { vhdDynamic } from './vhd-dynamic.ts'
import { vhdFixed } from './vhd-fixed.ts'
import { VHD_MAX_VIRTUAL_SIZE } from './vhd-footer.ts'
import { VHDX_MAX_VIRTUAL_SIZE, vhdx } from './vhdx.ts'
import { VMDK_MAX_VIRTUAL_SIZE } from './vmdk-header.ts'
import { vmdkSparse } from './vmdk-sparse.ts'

export type Formats = ReadonlyMap<string, FormatFamily>

/** The highest that costs no more than level 1; the file is about 7 % larger than qemu's, which takes level 6. */
const VMDK_LEVEL = 2

/** Every format an image can be exported to. A Map, so that `__proto__` and the like are just unknown names. */
export function createFormats(): Formats {
  const families: FormatFamily[] = [
    { name: 'raw', options: {}, maxVirtualSize: null, choose: () => raw },
    qcow2Family,
    {
      name: 'vhd',
      options: { subformat: ['dynamic', 'fixed'] },
      maxVirtualSize: VHD_MAX_VIRTUAL_SIZE,
      choose: ({ subformat }) => (subformat === 'fixed' ? vhdFixed : vhdDynamic)
    },
    { name: 'vhdx', options: {}, maxVirtualSize: VHDX_MAX_VIRTUAL_SIZE, choose: () => vhdx },
    { name: 'vdi', options: {}, maxVirtualSize: VDI_MAX_VIRTUAL_SIZE, choose: () => vdi },
    {
      // What VMware's and the clouds' importers take; monolithicSparse is for desktop products and qemu.
      name: 'vmdk',
      options: { subformat: ['streamOptimized', 'monolithicSparse'], level: [1, 9] },
      maxVirtualSize: VMDK_MAX_VIRTUAL_SIZE,
      choose: ({ subformat, level = VMDK_LEVEL }) =>
        subformat === 'monolithicSparse' ? vmdkSparse : streamOptimizedVmdk(level)
    },
    {
      name: 'ova',
      options: { level: [1, 9] },
      maxVirtualSize: VMDK_MAX_VIRTUAL_SIZE,
      tells: true,
      choose: ({ level = VMDK_LEVEL }, told) => ova(level, told)
    }
  ]
  return new Map(families.map((family) => [family.name, family]))
}
