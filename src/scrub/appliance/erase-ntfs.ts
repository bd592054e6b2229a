import type { NbdServer } from '../nbd/server.ts'
import { commandLine } from './command-line.ts'
import { trim } from './erase-free.ts'
import type { Fish } from './fish.ts'
import { type Mountable, mount } from './mountable.ts'

/**
 * Makes zeros of the clusters that no file of an NTFS uses. Its own bitmap is believed only where it says the same as all
 * that is in use: this is what ntfsresize compares before it tells how small the file system could be. Files, and what
 * they leave of their last clusters, stay as they are.
 * @returns why it was not done, null where it was
 */
export async function eraseNtfs(fish: Fish, server: NbdServer, one: Mountable): Promise<string | null> {
  const smallest = await fish.text(`-${commandLine('vfs-minimum-size', one.name)}`)
  if (!/^\d+$/.test(smallest.trim())) {
    return 'what its NTFS says is free was not found to be so: it was not shut down, or is damaged (ntfs-not-sound)'
  }
  if (!(await mount(fish, one, '/', 'rw'))) return 'its NTFS cannot be mounted (ntfs-not-mounted)'
  const trimmed = await trim(fish, server)
  await fish.ask('umount-all')
  return trimmed
    ? null
    : 'the free space of its NTFS could not be dropped, as of one that hibernates (ntfs-not-trimmed)'
}
