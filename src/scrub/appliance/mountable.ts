import { Refused } from '../refused.ts'
import { commandLine } from './command-line.ts'
import type { Fish } from './fish.ts'

/** File systems whose files are changed, and whose free space is made zeros. */
export const CHANGED = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs'])

/** What the appliance found on the disk: a device, or a subvolume (`btrfsvol:/dev/sda1/name`), and what it holds. */
export type Mountable = { readonly name: string; readonly type: string }

/** Every file system that can be had, with LUKS opened where there is a passphrase. Throws Refused where there is none. */
export async function mountables(fish: Fish, passphrase: string | undefined): Promise<readonly Mountable[]> {
  const closed = (await listed(fish)).filter(({ type }) => type === 'crypto_LUKS')
  if (closed.length === 0) return listed(fish)
  if (passphrase === undefined) throw new Refused('encrypted', 'it is encrypted, and there is no key for it')
  for (const [i, { name }] of closed.entries()) {
    // The passphrase is a line of its own, not an argument: see --keys-from-stdin.
    await fish.ask(`${commandLine('cryptsetup-open', name, `opened${i}`)}\n${passphrase.replaceAll('\n', '')}`)
  }
  await fish.ask('lvm-scan true')
  return (await listed(fish)).filter(({ type }) => type !== 'crypto_LUKS')
}

async function listed(fish: Fish): Promise<Mountable[]> {
  const printed = await fish.text('list-filesystems')
  return [...printed.matchAll(/^((?:btrfsvol:)?\/dev\/.*): (\w+)$/gm)].map(([, name = '', type = '']) => ({
    name,
    type
  }))
}

/** @returns whether it could be done; what is mounted there already stays below */
export async function mount(fish: Fish, { name }: Mountable, at: string, how: 'ro' | 'rw'): Promise<boolean> {
  const mounted = async () => (await fish.text('mountpoints')).split('\n').length
  const before = await mounted()
  await fish.ask(`-${commandLine('mount-options', `${how},nosuid,nodev,noexec`, name, at)}`)
  return (await mounted()) > before
}
