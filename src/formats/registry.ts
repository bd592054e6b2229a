import type { FormatFamily } from './format-family.ts'
import { ova } from './ova.ts'
import { qcow2Family } from './qcow2-family.ts'
import { raw } from './raw.ts'
import { streamOptimizedVmdk } from './stream-optimized.ts'
import { vdi } from './vdi.ts'
import { vhdDynamic } from './vhd-dynamic.ts'
import { vhdFixed } from './vhd-fixed.ts'
import { vhdx } from './vhdx.ts'
import { vmdkSparse } from './vmdk-sparse.ts'

export type Formats = ReadonlyMap<string, FormatFamily>

/** The highest that costs no more than level 1; the file is about 7 % larger than qemu's, which takes level 6. */
const VMDK_LEVEL = 2

/** Every format an image can be exported to. A Map, so that `__proto__` and the like are just unknown names. */
export function createFormats(): Formats {
  const families: FormatFamily[] = [
    { name: 'raw', options: {}, choose: () => raw },
    qcow2Family,
    {
      name: 'vhd',
      options: { subformat: ['dynamic', 'fixed'] },
      choose: ({ subformat }) => (subformat === 'fixed' ? vhdFixed : vhdDynamic)
    },
    { name: 'vhdx', options: {}, choose: () => vhdx },
    { name: 'vdi', options: {}, choose: () => vdi },
    {
      // What VMware's and the clouds' importers take; monolithicSparse is for desktop products and qemu.
      name: 'vmdk',
      options: { subformat: ['streamOptimized', 'monolithicSparse'], level: [1, 9] },
      choose: ({ subformat, level = VMDK_LEVEL }) =>
        subformat === 'monolithicSparse' ? vmdkSparse : streamOptimizedVmdk(level)
    },
    { name: 'ova', options: { level: [1, 9] }, choose: ({ level = VMDK_LEVEL }) => ova(level) }
  ]
  return new Map(families.map((family) => [family.name, family]))
}
