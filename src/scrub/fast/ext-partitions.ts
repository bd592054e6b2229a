import { ext } from '../filesystems/ext/ext.ts'
import { fat } from '../filesystems/fat/fat.ts'
import { recognised } from '../filesystems/recognised.ts'
import { fileSystems } from '../filesystems/registry.ts'
import { hibernated, swapMarkIn } from '../filesystems/swap.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import type { Partition } from '../partitions/partition.ts'
import { readPartitions } from '../partitions/table.ts'
import { Refused } from '../refused.ts'
import { sourceOf, Volume } from '../volume.ts'

/**
 * The partitions with ext file systems, and those with FAT, as boot loaders need one. Throws Refused where there are none, or
 * where files lie in others besides: they would be left as they are. And where the guest is suspended.
 */
export async function extPartitions(disk: OverlayDisk, signal: AbortSignal) {
  const source = await sourceOf(disk, signal)
  const namesIn = async (volume: Volume) => {
    const names = await recognised(volume)
    for (const reader of fileSystems()) if (await reader.matches(volume)) names.push(reader.name)
    return names
  }
  const table = await readPartitions(new Volume(source, 0, disk.virtualSize), async (start, length) => {
    return (await namesIn(new Volume(source, start, length))).length > 0
  })
  const found: Partition[] = []
  const fats: Partition[] = []
  for (const partition of table.partitions) {
    const volume = new Volume(source, partition.start, partition.length)
    const isExt = await ext.matches(volume)
    const others = (await recognised(volume)).length > 0
    if (others || (isExt && (await namesIn(volume)).length > 1)) {
      throw new Refused('other-file-systems', 'files of it lie in file systems that are not changed this way')
    }
    if (isExt) found.push(partition)
    else if (await fat.matches(volume)) fats.push(partition)
    else if ((await swapMarkIn(volume))?.suspended) throw hibernated()
  }
  if (found.length === 0) throw new Refused('no-ext', 'it has no file system that is changed this way')
  return { found, fats }
}
