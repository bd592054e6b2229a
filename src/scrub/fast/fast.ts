import { join } from 'node:path'
import type { Guest, StepReport } from '../../domain/scrub-report.ts'
import type { RunJailed } from '../../jail/jail.ts'
import { ByteRanges } from '../byte-ranges.ts'
import { ext } from '../filesystems/ext/ext.ts'
import { readSuperblockInUse } from '../filesystems/ext/superblock.ts'
import type { GuestFiles } from '../guest.ts'
import type { Edit, GuestEditor } from '../guest-editor.ts'
import { LEFT } from '../left.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import type { Partition } from '../partitions/partition.ts'
import { Refused } from '../refused.ts'
import type { ScrubStep } from '../scrub-step.ts'
import { sourceOf, Volume } from '../volume.ts'
import { type Checked, isSound, mend, settle } from './check-file-system.ts'
import { type Count, ExtEditor, total } from './ext-editor.ts'
import { extPartitions } from './ext-partitions.ts'
import { ExtVolume } from './ext-volume.ts'
import { settleJournal } from './journal.ts'
import { MetadataImage } from './metadata-image.ts'
import { type Mount, MountedGuest } from './mounted-guest.ts'
import { mountsIn } from './mounts.ts'

const MAX_FSTAB_BYTES = 256 * 1024
const MAX_NAME_LENGTH = 80

/** A file system that is being edited, from its check before to its check afterwards. */
type Opened = {
  readonly partition: Partition
  readonly image: MetadataImage
  readonly checked: Checked
  readonly editor: ExtEditor
}

/**
 * Edits guests on ext2, ext3 and ext4 without a virtual machine. Names, inodes and contents are changed by the code here,
 * straight on the overlay. What follows from that is counted anew by e2fsck, which sees nothing but the metadata, in a jail;
 * no byte that the guest chose is ever on its command line.
 */
export const fastEditor = (jail: RunJailed): GuestEditor => ({
  name: 'fast',

  async edit(disk, edit, signal) {
    await using opened = new AsyncDisposableStack()
    const all: Opened[] = []
    const { found, fats } = await extPartitions(disk, signal)
    for (const partition of found) {
      const one = await openFileSystem(jail, disk, partition, edit.work, signal)
      opened.use(one.image)
      all.push(one)
    }
    const mounts = await mountsOf(all)
    const files = new MountedGuest(mounts)
    const guest = await guestOf(files)
    const steps: StepReport[] = []
    for (const step of edit.steps) steps.push(await make(step, edit, files, signal))
    for (const look of edit.looks) await look(files, signal)
    let e2fsck = 'unknown'
    for (const one of all) e2fsck = await close(one, disk, signal)
    const unmounted = all.filter(({ editor }) => !mounts.some((mount) => mount.editor === editor))
    const left = new Map([
      ...fats.map(({ start }) => [start, LEFT.fat] as const),
      ...unmounted.map(({ partition }) => [partition.start, LEFT.unmounted] as const)
    ])
    return { guest, steps, tools: { e2fsck }, left }
  }
})

/** Brings a file system to rest, as its guest's next start would, and copies its metadata. */
async function openFileSystem(
  jail: RunJailed,
  disk: OverlayDisk,
  partition: Partition,
  work: string,
  signal: AbortSignal
): Promise<Opened> {
  const live = liveVolume(disk, partition, signal)
  const { features, writtenAt } = await readSuperblockInUse(live)
  if (!features.editable) throw new Refused('not-editable', 'it uses features that rule out a change of its files')
  await settleJournal(disk, live)
  const volume = new Volume(await sourceOf(disk, signal), partition.start, partition.length)
  const sb = await readSuperblockInUse(volume)
  const image = await MetadataImage.create(join(work, `partition-${partition.number}`), disk, volume, sb)
  try {
    const now = Math.max(1, writtenAt)
    const checked = { jail, work, name: image.name, bytes: sb.blocks * sb.blockBytes, now, signal }
    if (!sb.atRest || !(await isSound(checked))) {
      await mend(checked)
      await image.takeOver(disk, partition.start, signal)
    }
    return { partition, image, checked, editor: new ExtEditor(await ExtVolume.open(live, disk, image), now) }
  } catch (error) {
    await image[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * Settles what was changed, and proves that free space can be told afterwards: else what was deleted would leave.
 * @returns the version of the tool
 */
async function close(
  { partition, image, checked, editor }: Opened,
  disk: OverlayDisk,
  signal: AbortSignal
): Promise<string> {
  await editor.ext.flush()
  const version = await settle(checked)
  await image.takeOver(disk, partition.start, signal)
  await ext.unused(new Volume(await sourceOf(disk, signal), partition.start, partition.length))
  return version
}

/** Sees every change at once, where other volumes may take zeros for granted. */
function liveVolume(disk: OverlayDisk, { start, length }: Partition, signal: AbortSignal): Volume {
  const data = new ByteRanges(Float64Array.of(0), Float64Array.of(disk.virtualSize))
  return new Volume({ disk, data, signal }, start, length)
}

async function mountsOf(all: readonly Opened[]): Promise<Mount[]> {
  const roots: Opened[] = []
  for (const one of all) {
    const alone = new MountedGuest([{ path: '/', editor: one.editor }])
    const marks = ['/etc/fstab', '/etc/os-release', '/usr/lib/os-release']
    if ((await Promise.all(marks.map((path) => alone.stat(path)))).some(Boolean)) roots.push(one)
  }
  const [root, second] = roots
  if (!root) throw new Refused('no-root', 'none of its file systems looks like the root of a Linux system')
  if (second) throw new Refused('several-roots', 'several of its file systems look like the root of a Linux system')
  const alone = new MountedGuest([{ path: '/', editor: root.editor }])
  const fstab = (await alone.read('/etc/fstab', MAX_FSTAB_BYTES))?.toString('latin1') ?? ''
  const others = all.filter((one) => one !== root)
  return mountsIn(
    fstab,
    root.editor,
    others.map(({ editor, partition }) => ({ editor, number: partition.number }))
  )
}

async function make(step: ScrubStep, edit: Edit, files: MountedGuest, signal: AbortSignal): Promise<StepReport> {
  const counts: Count[] = []
  for await (const change of step.changes(files, edit.settings)) {
    signal.throwIfAborted()
    counts.push(await files.apply(change))
  }
  const { files: changed, bytes } = total(counts)
  return { id: step.id, changed: changed > 0, files: changed, bytes }
}

async function guestOf(files: GuestFiles): Promise<Guest> {
  for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
    const text = (await files.read(path, MAX_FSTAB_BYTES))?.toString('latin1') ?? ''
    const name = /^PRETTY_NAME="?([^"\n]*)/m
      .exec(text)?.[1]
      ?.replace(/[^ -~]/g, '')
      .slice(0, MAX_NAME_LENGTH)
    if (name) return { kind: 'linux', name }
  }
  return { kind: 'linux' }
}
