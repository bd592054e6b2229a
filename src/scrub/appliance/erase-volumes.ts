import type { NbdServer } from '../nbd/server.ts'
import { commandLine } from './command-line.ts'
import type { Fish } from './fish.ts'
import { isPlain, type Mountable } from './mountable.ts'

/** For a moment, all that a volume group has not given out: what was in volumes that are gone. */
const UNGIVEN = 'ungiven-space'

/** Makes zeros of what no file system sees: swap that is no partition of its own, and free extents of volume groups. */
export async function eraseVolumes(fish: Fish, all: readonly Mountable[], server: NbdServer): Promise<void> {
  for (const { name, type } of all) {
    // Swap on a partition is found without the appliance.
    if (type === 'swap' && !isPlain({ name, type })) await renewSwap(fish, name, server)
  }
  for (const group of (await fish.text('vgs')).split('\n').filter(Boolean)) {
    const device = `/dev/${group}/${UNGIVEN}`
    await fish.ask(`-${commandLine('lvcreate-free', UNGIVEN, group, '100')}`)
    if (!(await fish.text('lvs')).split('\n').includes(device)) continue
    await blank(fish, device, server)
    await fish.ask(commandLine('lvremove', device))
  }
}

/** Its name and number stay: fstab knows it by them. */
async function renewSwap(fish: Fish, device: string, server: NbdServer): Promise<void> {
  const uuid = (await fish.text(commandLine('vfs-uuid', device))).trim()
  const label = (await fish.text(commandLine('vfs-label', device))).trim()
  await blank(fish, device, server)
  await fish.ask(commandLine('mkswap', device, `uuid:${uuid}`, ...(label ? [`label:${label}`] : [])))
}

async function blank(fish: Fish, device: string, server: NbdServer): Promise<void> {
  const before = server.trimmedBytes
  await fish.ask(`-${commandLine('blkdiscard', device)}`)
  const bytes = Number(await fish.text(commandLine('blockdev-getsize64', device)))
  if (!(server.trimmedBytes - before >= bytes)) await fish.ask(commandLine('zero-device', device))
}
