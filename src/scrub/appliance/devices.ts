import { commandLine } from './command-line.ts'
import type { Fish } from './fish.ts'

const LISTS = ['list-devices', 'list-partitions', 'list-md-devices', 'list-ldm-volumes', 'lvs']

/**
 * Every device that may hold something. Not by `list-filesystems`: that leaves out what is encrypted, and fails where one
 * btrfs is damaged.
 */
export async function devices(fish: Fish): Promise<string[]> {
  const names: string[] = []
  for (const list of LISTS) names.push(...(await fish.text(`-${list}`)).split('\n').filter(Boolean))
  return names
}

/** Of the guest's disk, which is attached with it. */
export const LABEL = 'guest'

/** What a device holds, by the names of libblkid; empty where that is not known. */
export const typeOf = async (fish: Fish, device: string): Promise<string> =>
  (await fish.text(`-${commandLine('vfs-type', device)}`)).trim()
