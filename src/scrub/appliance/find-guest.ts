import { KiB } from '../../domain/bytes.ts'
import type { Guest } from '../../domain/scrub-report.ts'
import type { GuestFiles } from '../guest.ts'
import { Refused } from '../refused.ts'
import { ApplianceFiles } from './appliance-files.ts'
import type { Fish } from './fish.ts'
import { CHANGED, type Mountable, mount } from './mountable.ts'

const NAME_CHARACTERS = 100

export type FoundGuest = Guest & { readonly root: Mountable }

/**
 * Looks into every file system for the one that is a system's root; nothing is mounted afterwards.
 * @param folder of the host
 * @throws Refused where there is none, or more than one
 */
export async function findGuest(fish: Fish, all: readonly Mountable[], folder: string): Promise<FoundGuest> {
  const found: FoundGuest[] = []
  for (const one of all) {
    if (!CHANGED.has(one.type) && one.type !== 'ntfs') continue
    if (!(await mount(fish, one, '/', 'ro'))) continue
    const guest = await look(new ApplianceFiles(fish, folder), one.type)
    if (guest) found.push({ ...guest, root: one })
    await fish.ask('umount-all')
  }
  // The subvolume that is mounted when none is named is listed twice: as itself, and as its device.
  const roots = found.filter(({ root }) => !found.some((other) => other.root.name.startsWith(`btrfsvol:${root.name}/`)))
  const [guest, second] = roots
  if (!guest) throw new Refused('no-system', 'no system is found on it')
  if (second) throw new Refused('several-systems', 'more than one system is found on it')
  return guest
}

async function look(files: GuestFiles, type: string): Promise<Guest | undefined> {
  if (type === 'ntfs') {
    return (await files.stat('/Windows/System32'))?.kind === 'folder' ? { kind: 'other', name: 'Windows' } : undefined
  }
  const etc = (await files.stat('/etc'))?.kind === 'folder'
  if (!etc || !((await files.stat('/etc/fstab')) || (await files.stat('/etc/os-release')))) return undefined
  const name = await nameOf(files)
  return { kind: 'linux', ...(name && { name }) }
}

/** See os-release(5). */
async function nameOf(files: GuestFiles): Promise<string | undefined> {
  for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
    const text = (await files.read(path, 64 * KiB))?.toString('latin1') ?? ''
    const name = /^PRETTY_NAME=["']?(.*?)["']?$/m.exec(text)?.[1]
    if (name) return name.replace(/[^\x20-\x7e]/g, '').slice(0, NAME_CHARACTERS)
  }
  return undefined
}
