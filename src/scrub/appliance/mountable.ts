import type { Secret } from '../../domain/secret.ts'
import { commandLine } from './command-line.ts'
import { devices, typeOf } from './devices.ts'
import type { Fish } from './fish.ts'
import { openEncrypted } from './open-encrypted.ts'

/** File systems whose files are changed, and whose free space is made zeros. */
export const CHANGED = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs'])

/** What the appliance found on the disk: a device, or a subvolume (`btrfsvol:/dev/sda1/name`), and what it holds. */
export type Mountable = { readonly name: string; readonly type: string }

export const isSubvolume = ({ name }: Mountable): boolean => name.startsWith('btrfsvol:')

/** Whether `one` is the device, or a subvolume of it. */
export const isOn = (device: Mountable, { name }: Mountable): boolean =>
  name === device.name || name.startsWith(`btrfsvol:${device.name}/`)

/** The disk, or a partition of it: what can be read without the appliance too. */
export const isPlain = ({ name }: Mountable): boolean => /^\/dev\/sda\d*$/.test(name)

/** Everything that can be looked into, in encrypted volumes too. Throws what `openEncrypted` throws. */
export async function mountables(fish: Fish, key: Secret<string> | undefined): Promise<readonly Mountable[]> {
  const opened = await openEncrypted(fish, key)
  const found: Mountable[] = []
  for (const device of new Set([...(await devices(fish)), ...opened])) found.push(...(await inside(fish, device)))
  return found
}

async function inside(fish: Fish, device: string): Promise<Mountable[]> {
  const type = (await typeOf(fish, device)) || 'unknown'
  // Part of what is a device itself: a volume group, an array, an encrypted volume.
  if (type.endsWith('_member') || type === 'crypto_LUKS') return []
  if (type !== 'btrfs') return [{ name: device, type }]
  const printed = await fish.text(`-${commandLine('btrfs-subvolume-list', device)}`)
  const paths = printed.matchAll(/^ *btrfssubvolume_path: (.+)$/gm)
  return [{ name: device, type }, ...[...paths].map(([, path = '']) => ({ name: `btrfsvol:${device}/${path}`, type }))]
}

/** @returns whether it could be done; what is mounted there already stays below */
export async function mount(fish: Fish, { name }: Mountable, at: string, how: 'ro' | 'rw'): Promise<boolean> {
  const mounted = async () => (await fish.text('mountpoints')).split('\n').length
  const before = await mounted()
  await fish.ask(`-${commandLine('mount-options', `${how},nosuid,nodev,noexec`, name, at)}`)
  return (await mounted()) > before
}
