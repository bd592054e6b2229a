import { LEFT } from '../left.ts'
import { commandLine } from './command-line.ts'
import { typeOf } from './devices.ts'
import type { Fish } from './fish.ts'
import { CHANGED, isOn, isPlain, isSubvolume, type Mountable } from './mountable.ts'

const NO_FILES = new Set(['unknown', 'swap'])
const TOP_LEVEL = 5

/**
 * By the byte where it begins, why files of a partition were left as they are. What lies in a volume of several partitions may
 * lie in each of them. Nothing may be mounted.
 * @param mounted of `all`, what steps have seen
 */
export async function leftFiles(
  fish: Fish,
  all: readonly Mountable[],
  mounted: readonly Mountable[]
): Promise<ReadonlyMap<number, string>> {
  const starts = await partitionStarts(fish)
  const left = new Map<number, string>()
  for (const one of all) {
    if (isSubvolume(one) || NO_FILES.has(one.type)) continue
    const why = await whyLeft(fish, one, all, mounted)
    if (why === undefined) continue
    for (const [name, start] of starts) {
      const isThere = isPlain(one) ? name === one.name : await holdsVolumes(fish, name)
      if (isThere) left.set(start, left.get(start) ?? why)
    }
  }
  return left
}

async function whyLeft(
  fish: Fish,
  one: Mountable,
  all: readonly Mountable[],
  mounted: readonly Mountable[]
): Promise<string | undefined> {
  if (one.type === 'vfat') return LEFT.fat
  if (!CHANGED.has(one.type)) return LEFT.unchanged
  const seen = mounted.filter((other) => isOn(one, other))
  if (seen.length === 0) return isPlain(one) ? LEFT.unmounted : LEFT.volume
  const pathOf = ({ name }: Mountable) => name.slice(`btrfsvol:${one.name}/`.length)
  const tops = await Promise.all(seen.map((other) => (isSubvolume(other) ? pathOf(other) : defaultOf(fish, one))))
  const isSeen = (path: string) => tops.some((top) => top === '' || path === top || path.startsWith(`${top}/`))
  const subvolumes = all.filter((other) => isSubvolume(other) && isOn(one, other))
  return subvolumes.map(pathOf).every(isSeen) ? undefined : LEFT.subvolume
}

/** The path of the subvolume that is mounted when none is named; empty for that of the whole file system. */
async function defaultOf(fish: Fish, { name, type }: Mountable): Promise<string> {
  if (type !== 'btrfs') return ''
  const id = Number(await fish.text(commandLine('btrfs-subvolume-get-default', name)))
  if (id === TOP_LEVEL) return ''
  const printed = await fish.text(commandLine('btrfs-subvolume-list', name))
  const [, path] = new RegExp(`btrfssubvolume_id: ${id}\\n(?:.*\\n)?.*btrfssubvolume_path: (.+)`).exec(printed) ?? []
  return path ?? '/'
}

/** Of the disk's partitions by their names; of the disk, where it has none. */
async function partitionStarts(fish: Fish): Promise<ReadonlyMap<string, number>> {
  const printed = await fish.text('-part-list /dev/sda')
  const found = [...printed.matchAll(/part_num: (\d+)\s+part_start: (\d+)/g)]
  return new Map(
    found.length > 0 ? found.map(([, number, start]) => [`/dev/sda${number}`, Number(start)]) : [['/dev/sda', 0]]
  )
}

/** Whether it is part of a volume group, an array or an encrypted volume. */
async function holdsVolumes(fish: Fish, device: string): Promise<boolean> {
  const type = await typeOf(fish, device)
  return type.endsWith('_member') || type === 'crypto_LUKS'
}
