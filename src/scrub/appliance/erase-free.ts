import type { NbdServer } from '../nbd/server.ts'
import { Refused } from '../refused.ts'
import { commandLine } from './command-line.ts'
import { deviceDisk } from './device-disk.ts'
import { btrfsLength, eraseBehind } from './erase-behind.ts'
import { eraseExt, packFolders } from './erase-ext.ts'
import type { Fish } from './fish.ts'
import { CHANGED, isSubvolume, type Mountable, mount } from './mountable.ts'
import type { Session } from './session.ts'
import { eraseXfs } from './xfs/erase-xfs.ts'

/**
 * Makes zeros of all that no file uses any more, journals too; nothing may be mounted. What a file system trims is compared
 * with what it says is free: where it trimmed less its free space is written with zeros.
 * @returns why not all was erased of what lies in volumes, null where it was
 * @throws Refused where a file system is not sound, or its free space could not be had
 */
export async function eraseFree(
  session: Session,
  all: readonly Mountable[],
  signal: AbortSignal
): Promise<string | null> {
  const { fish, server } = session
  let why: string | null = null
  for (const one of all) {
    if (!CHANGED.has(one.type) || isSubvolume(one)) continue
    const isExt = one.type.startsWith('ext')
    const isXfs = one.type === 'xfs'
    if (isXfs) await repair(fish, one, 'forcelogzero:true')
    if (isExt) await packFolders(fish, one)
    // Blocks that were freed a moment ago are not trimmed before the next mount.
    if (!(await mount(fish, one, '/', 'rw'))) throw new Refused('not-mounted', 'a file system cannot be mounted again')
    const trimmed = await trim(fish, server)
    if (!trimmed && !isExt) await fish.ask(commandLine('zero-free-space', '/'))
    await fish.ask('umount-all')
    if (isExt) {
      const notErased = await eraseExt(session, one, trimmed, signal)
      why ??= notErased
      continue
    }
    const device = await deviceDisk(session, one)
    await eraseBehind(session, device, isXfs ? await eraseXfs(device, signal) : await btrfsLength(device))
    if (isXfs) await repair(fish, one, 'nomodify:true')
  }
  return why
}

/** xfs's own repair looks at everything, and where it may it writes the log anew, which holds what folders were before. */
async function repair(fish: Fish, { name }: Mountable, option: 'forcelogzero:true' | 'nomodify:true'): Promise<void> {
  const status = (await fish.text(commandLine('xfs-repair', name, option))).trim()
  if (status !== '0') throw new Refused('not-sound', 'a file system of it is damaged')
}

/** @returns whether all was trimmed that is free */
export async function trim(fish: Fish, server: NbdServer): Promise<boolean> {
  const before = server.trimmedBytes
  await fish.ask(`-${commandLine('fstrim', '/')}`)
  return server.trimmedBytes - before >= (await freeBytes(fish))
}

async function freeBytes(fish: Fish): Promise<number> {
  const printed = await fish.text(commandLine('statvfs', '/'))
  const [frsize, bfree] = ['frsize', 'bfree'].map((name) => new RegExp(`^ *${name}: (\\d+)$`, 'm').exec(printed)?.[1])
  if (!frsize || !bfree) throw new Refused('free-space', 'a file system does not say how much of it is free')
  return Number(frsize) * Number(bfree)
}
