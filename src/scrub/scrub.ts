import type { Disk } from '../disks/disk.ts'
import { ScrubGuestEncrypted, ScrubNotProved, ScrubOsUnrecognized } from '../domain/scrub-errors.ts'
import type { Guest, ScrubProgress, ScrubReport, SecretFound, StepReport } from '../domain/scrub-report.ts'
import type { Secret } from '../domain/secret.ts'
import { dataBytes } from './data-bytes.ts'
import type { FileSystemReader } from './filesystems/file-system.ts'
import { type FreeSpace, freeSpace } from './free-space.ts'
import type { Edited, GuestEditor } from './guest-editor.ts'
import type { OverlayDisk } from './overlay-disk.ts'
import type { ScrubPlan } from './profiles.ts'
import { Refused } from './refused.ts'
import { secretsScan } from './secrets/scan.ts'
import { type Begin, customStep, progressOf, toldEdit } from './tell-progress.ts'
import { ZeroedDisk } from './zeroed-disk.ts'

export type ScrubUses = {
  /** In the order in which they are asked: the next one takes what the one before refuses. */
  readonly editors: readonly GuestEditor[]
  readonly fileSystems: readonly FileSystemReader[]
  /** Lays an overlay without a change over a disk, kept in a file below the attempt's folder. */
  readonly overlay: (disk: Disk, path: string) => Promise<OverlayDisk>
  /** Makes an empty folder below the attempt's folder. */
  readonly folder: (name: string) => Promise<string>
  /** Runs the operator's own steps on the disk, once the built-in ones are through; absent where there are none. */
  readonly operatorSteps?: {
    readonly ids: readonly string[]
    run(disk: OverlayDisk, guest: Guest, begin: (id: string) => void): Promise<NonNullable<ScrubReport['custom']>>
  }
  /** A passphrase that opens the guest's encryption. */
  readonly diskKey?: Secret<string> | undefined
  /** Milliseconds, monotonic. */
  readonly clock: () => number
  /** Told whenever it goes on to something else. */
  readonly tell: (progress: ScrubProgress) => void
}

/** A disk without what was not to leave; disposing of it takes the overlay with it, and leaves the disk below. */
export type Scrubbed = {
  readonly disk: Disk
  readonly report: ScrubReport
  /** Equal for scrubbed disks with the same bytes over the same image. Hex. */
  readonly digest: string
}

/** How the files of a guest were changed, or why they were not. */
type Files = { readonly overlay: OverlayDisk; readonly secrets: readonly SecretFound[] } & (
  | { readonly path: 'fast' | 'appliance'; readonly edited: Edited }
  | { readonly path: 'none'; readonly why: string }
)

/**
 * Changes a disk as planned, in an overlay: the disk itself is not written, and stays the caller's.
 * @throws ScrubOsUnrecognized, ScrubGuestEncrypted, ScrubNotProved, what an editor throws, and the reason of `signal`
 */
export async function scrub(disk: Disk, plan: ScrubPlan, uses: ScrubUses, signal: AbortSignal): Promise<Scrubbed> {
  const startedAt = uses.clock()
  const { operatorSteps } = uses
  const begin = progressOf(plan, operatorSteps?.ids ?? [], uses.tell)
  const files = await changeFiles(disk, plan, uses, begin, signal)
  try {
    const guest: Guest = files.path === 'none' ? { kind: 'unknown' } : files.edited.guest
    const custom = await operatorSteps?.run(files.overlay, guest, (id) => begin(customStep(id)))
    begin('free-space')
    const free = await freeSpace(files.overlay, plan.gaps, uses.fileSystems, signal)
    if (files.path === 'fast') assertErased(free)
    const digest = await files.overlay.digest(signal)
    const report: ScrubReport = {
      profile: plan.profile,
      guest,
      path: files.path,
      steps: stepsOf(plan, files),
      kept: plan.kept,
      secrets: files.secrets,
      partitions: await partitionsOf(files, free),
      freedBytes: (await freedByEditor(disk, files)) + (await freedBytes(files.overlay, free)),
      overlayBytes: files.overlay.storedBytes,
      digest,
      tools: files.path === 'none' ? {} : files.edited.tools,
      seconds: Math.round(uses.clock() - startedAt) / 1000,
      ...(custom && { custom })
    }
    return { disk: new ZeroedDisk(files.overlay, free.extents, free.remains), report, digest }
  } catch (error) {
    await files.overlay[Symbol.asyncDispose]()
    throw error
  }
}

/** Asks one editor after the other. What an editor has refused in the middle leaves an overlay that is of no use. */
async function changeFiles(
  disk: Disk,
  plan: ScrubPlan,
  uses: ScrubUses,
  begin: Begin,
  signal: AbortSignal
): Promise<Files> {
  const refused: Refused[] = []
  for (const editor of uses.editors) {
    begin('checking')
    const work = await uses.folder(editor.name)
    const overlay = await uses.overlay(lent(disk), `${work}.overlay`)
    const secrets: SecretFound[] = []
    const told = toldEdit(begin, plan.steps, plan.secrets === 'off' ? [] : [secretsScan(secrets)])
    try {
      const edit = { ...told, settings: plan.settings, gaps: plan.gaps, work, diskKey: uses.diskKey }
      const edited = await editor.edit(overlay, edit, signal)
      const isLast = editor === uses.editors.at(-1)
      if (edited.guest.kind !== 'linux' && (plan.unknownGuest === 'fail' || !isLast))
        throw new Refused('no-linux', 'no Linux was found on it')
      return { overlay, secrets, path: editor.name, edited }
    } catch (error) {
      await overlay[Symbol.asyncDispose]()
      if (!(error instanceof Refused)) throw error
      refused.push(error)
    }
  }
  assertMaySkip(plan, refused)
  const overlay = await uses.overlay(lent(disk), `${await uses.folder('none')}.overlay`)
  return { overlay, secrets: [], path: 'none', why: whyNot(refused) }
}

/** An overlay owns the disk below it; this one is needed again when an editor refuses. */
const lent = (disk: Disk): Disk => ({
  virtualSize: disk.virtualSize,
  extents: () => disk.extents(),
  read: (target, offset) => disk.read(target, offset),
  [Symbol.asyncDispose]: async () => {}
})

function assertMaySkip({ unknownGuest }: ScrubPlan, refused: readonly Refused[]): void {
  if (unknownGuest === 'skip') return
  const encrypted = refused.find(({ rule }) => rule === 'encrypted')
  if (encrypted) throw new ScrubGuestEncrypted({ cause: encrypted })
  throw new ScrubOsUnrecognized(whyNot(refused), { cause: refused.at(-1) })
}

/** What every editor has said. */
const whyNot = (refused: readonly Refused[]): string =>
  refused.map(({ message, rule }) => `${message} (${rule})`).join('; ') ||
  'nothing is installed here to change its files'

/** Deleting is not erasing: what the fast path has changed lies in ext file systems, and their free blocks have to be known. */
function assertErased({ report }: FreeSpace): void {
  if (!report.trusted) throw new ScrubNotProved(`${report.why} (${report.rule})`)
  for (const partition of report.partitions)
    if (partition.fileSystem.includes('ext') && !partition.trusted)
      throw new ScrubNotProved(`${partition.why} (${partition.rule})`)
}

const stepsOf = ({ steps }: ScrubPlan, files: Files): readonly StepReport[] =>
  files.path === 'none'
    ? steps.map(({ id }) => ({ id, changed: false, files: 0, bytes: 0, skipped: files.why }))
    : files.edited.steps

/** What is not read here, the editor may have erased: then all that is zeros in it is free. */
async function partitionsOf(files: Files, { report }: FreeSpace): Promise<ScrubReport['partitions']> {
  const erased = files.path === 'none' ? undefined : files.edited.erased
  const told = report.partitions.map(async (partition) => {
    const { start: offset, length: bytes, fileSystem, freeBytes } = partition
    const filesLeft = files.path === 'none' ? undefined : files.edited.left?.get(offset)
    const about = { offset, bytes, fileSystem, ...(filesLeft !== undefined && { filesLeft }) }
    if (partition.trusted) return { ...about, freeBytes }
    const why = erased?.get(fileSystem)
    if (why === null) return { ...about, freeBytes: bytes - (await dataBytes(files.overlay, offset, offset + bytes)) }
    return { ...about, freeBytes: 0, why: why ?? `${partition.why} (${partition.rule})` }
  })
  return Promise.all(told)
}

/** What the fast way frees, `freeSpace` finds. */
async function freedByEditor(disk: Disk, { path, overlay }: Files): Promise<number> {
  if (path !== 'appliance') return 0
  return Math.max(0, (await dataBytes(disk)) - (await dataBytes(overlay)))
}

/** Free space that was zeros anyway is no gain. */
async function freedBytes(disk: Disk, { extents }: FreeSpace): Promise<number> {
  let bytes = 0
  for await (const { offset, length, data } of disk.extents())
    if (data) for (const range of extents.within(offset, offset + length)) bytes += range.length
  return bytes
}

/** What is told of an export that leaves the disk as it is. */
export const untouched = ({ profile, kept }: ScrubPlan): ScrubReport => ({
  profile,
  guest: { kind: 'unknown' } satisfies Guest,
  path: 'none',
  steps: [],
  kept,
  secrets: [],
  partitions: [],
  freedBytes: 0,
  overlayBytes: 0,
  digest: '',
  tools: {},
  seconds: 0
})
