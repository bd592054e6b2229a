import type { DiskReader } from '../disk.ts'
import { readBat } from './bat.ts'
import { DynamicDisk } from './dynamic-disk.ts'
import { readDynamicHeader } from './dynamic-header.ts'
import { openFixedDisk } from './fixed-disk.ts'
import { readFooter } from './footer.ts'

/** Disks of Virtual PC, Hyper-V, Azure and XenServer: fixed and dynamic ones, which need no other file. */
export const vhd: DiskReader = {
  name: 'vhd',
  async open(file, limits) {
    const footer = await readFooter(file, limits)
    if (footer.type === 'fixed') return openFixedDisk(file, footer, limits)
    const header = await readDynamicHeader(file, footer)
    return new DynamicDisk(file, header, await readBat(file, header))
  }
}
