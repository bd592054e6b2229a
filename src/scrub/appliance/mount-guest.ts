import { MiB } from '../../domain/bytes.ts'
import { type FstabLine, fstabLines } from '../fstab.ts'
import { Refused } from '../refused.ts'
import { ApplianceFiles } from './appliance-files.ts'
import { commandLine } from './command-line.ts'
import type { Fish } from './fish.ts'
import { CHANGED, isOn, isSubvolume, type Mountable, mount } from './mountable.ts'

/**
 * Mounts a guest's file systems as its /etc/fstab has them. What it names and is not on this disk is none of its files.
 * @returns what is mounted
 * @throws Refused where one of this disk is left and may be what fstab names: it would leave with all that is in it
 */
export async function mountGuest(
  fish: Fish,
  root: Mountable,
  all: readonly Mountable[],
  folder: string
): Promise<readonly Mountable[]> {
  if (!(await mount(fish, root, '/', 'rw'))) throw new Refused('not-mounted', 'its file system cannot be mounted')
  const files = new ApplianceFiles(fish, folder)
  const fstab = (await files.read('/etc/fstab', MiB))?.toString('latin1') ?? ''
  const mounted = [root]
  let unclear = false
  for (const line of linesOf(fstab)) {
    const one = await meant(fish, line, all)
    if (!one) unclear = true
    if (!one || !(CHANGED.has(one.type) || one.type === 'unknown')) continue
    if ((await files.stat(line.at))?.kind !== 'folder' || !(await mount(fish, one, line.at, 'rw'))) {
      throw new Refused('not-mounted', 'a file system that its fstab names cannot be mounted')
    }
    mounted.push(one)
    files.forget()
  }
  const left = all.some(
    (one) => CHANGED.has(one.type) && !isSubvolume(one) && !mounted.some((other) => isOn(one, other))
  )
  if (unclear && left) throw new Refused('not-found', 'a file system that its fstab names is not found')
  return mounted
}

/** Those that may be of a kind that is changed: outer folders first. */
const linesOf = (fstab: string): FstabLine[] =>
  fstabLines(fstab)
    .filter(({ at, types }) => {
      const mayBe = types.some((type) => CHANGED.has(type) || type === 'auto')
      return mayBe && at.startsWith('/') && at !== '/'
    })
    .sort((a, b) => a.at.length - b.at.length)

async function meant(
  fish: Fish,
  { what, options }: FstabLine,
  all: readonly Mountable[]
): Promise<Mountable | undefined> {
  const subvolume = /(?:^|,)subvol=\/?([^,]+)/.exec(options)?.[1]
  for (const one of all) {
    if (isSubvolume(one) || !(await isCalled(fish, one.name, what))) continue
    return subvolume && one.type === 'btrfs' ? { name: `btrfsvol:${one.name}/${subvolume}`, type: 'btrfs' } : one
  }
  return undefined
}

async function isCalled(fish: Fish, device: string, named: string): Promise<boolean> {
  const what = named.replace(/^\/dev\/disk\/by-(uuid|label|partuuid)\//, (_, by: string) => `${by.toUpperCase()}=`)
  const value = what.slice(what.indexOf('=') + 1).replace(/^["']|["']$/g, '')
  const answer = async (command: string) => (await fish.text(`-${commandLine(command, device)}`)).trim()
  if (what.startsWith('UUID=')) return (await answer('vfs-uuid')).toLowerCase() === value.toLowerCase()
  if (what.startsWith('LABEL=')) return (await answer('vfs-label')) === value
  const partition = /^\/dev\/sda(\d+)$/.exec(device)?.[1]
  if (what.startsWith('PARTUUID=')) {
    if (!partition) return false
    const guid = (await fish.text(`-${commandLine('part-get-gpt-guid', '/dev/sda', partition)}`)).trim()
    return guid.toLowerCase() === value.toLowerCase()
  }
  // The first disk has another name in another machine, and its partitions the same numbers. Others are not this one.
  const number = /^\/dev\/(?:(?:[hsv]|xv)da|(?:nvme0n1|mmcblk0)p)(\d+)$/.exec(what)?.[1]
  if (number) return number === partition
  const mapped = /^\/dev\/mapper\/((?:[^-]|--)+)-((?:[^-]|--)+)$/.exec(what)
  const volume = mapped ? `/dev/${mapped[1]}/${mapped[2]}`.replaceAll('--', '-') : what
  return volume === device
}
