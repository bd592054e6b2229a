import { eraseFree } from './erase-free.ts'
import { eraseNtfs } from './erase-ntfs.ts'
import { eraseVolumes } from './erase-volumes.ts'
import type { Fish } from './fish.ts'
import { CHANGED, isSubvolume, type Mountable } from './mountable.ts'
import type { Session } from './session.ts'

/**
 * Makes zeros of what no file uses: of Linux all that there is, and of NTFS what can be proved to be free. Nothing may be
 * mounted.
 * @returns `erased` of what was edited
 * @throws Refused where a file system of Linux is not sound
 */
export async function eraseGuest(
  session: Session,
  all: readonly Mountable[],
  isLinux: boolean,
  signal: AbortSignal
): Promise<ReadonlyMap<string, string | null>> {
  const { fish, server } = session
  const erased = new Map<string, string | null>()
  if (isLinux) {
    const notErased = await eraseFree(session, all, signal)
    await eraseVolumes(fish, all, server)
    const why = (await unreadVolume(fish, all)) ?? notErased
    for (const kind of ['xfs', 'btrfs']) erased.set(kind, null)
    for (const kind of ['lvm', 'luks']) erased.set(kind, why)
  }
  for (const one of all) {
    if (one.type !== 'ntfs') continue
    const why = await eraseNtfs(fish, server, one)
    erased.set('ntfs', erased.get('ntfs') ?? why)
  }
  return erased
}

/** Why not all that is free in volumes inside partitions is known; null where it is. */
async function unreadVolume(fish: Fish, all: readonly Mountable[]): Promise<string | null> {
  const isInside = (one: Mountable) => !/^\/dev\/sd[ab]\d*$/.test(one.name) && !isSubvolume(one)
  const isRead = ({ type }: Mountable) => CHANGED.has(type) || type === 'swap'
  if (all.some((one) => isInside(one) && !isRead(one))) return 'a volume of it holds what is not read here (not-read)'
  // The fourth letter of vg_attr, see vgs(8).
  if (/^ *vg_attr: ...p/m.test(await fish.text('vgs-full'))) {
    return 'a volume group of it lacks a part that is on another disk (not-complete)'
  }
  return null
}
