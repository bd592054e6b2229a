import { GiB, MiB } from '../../domain/bytes.ts'
import { type JailLimits, JailTimeout, type RunJailed } from '../../jail/jail.ts'
import { Refused } from '../refused.ts'

const CHECKED = 'e2fsck'
const LIMITS: Omit<JailLimits, 'fileBytes'> = {
  memoryBytes: 4 * GiB,
  cpuSeconds: 120,
  processes: 8,
  wallMs: 180_000,
  outputBytes: 4 * MiB
}
/** Exit codes are bits: errors were mended. */
const MENDED = 1
/** What it says when it makes something else of a file: nothing that is changed here calls for that. */
export const LOSES = /multiply-claimed|unattached inode|unconnected directory|salvage/i
/** Extents are left as they are: the tool has no file's blocks, and a file is not to change where it lies. */
export const AS_THEY_ARE = ['-E', 'no_optimize_extents']

/** A file system in a file of a folder, for the tool that knows it best. */
export type Checked = {
  readonly jail: RunJailed
  readonly work: string
  readonly name: string
  readonly bytes: number
  /** What the tool takes for now, in seconds of 1970, so that the same changes give the same bytes. */
  readonly now: number
  readonly signal: AbortSignal
}

/** Whether it has no errors. Changes nothing. */
export const isSound = async (checked: Checked): Promise<boolean> => (await check(checked, '-fn')).exitCode === 0

/**
 * Mends what is mended without asking. It may also lay folders out anew, and its exit code does not tell. Throws Refused where
 * more is broken.
 */
export async function mend(checked: Checked): Promise<void> {
  const { exitCode } = await check(checked, '-fp')
  if (exitCode > MENDED) throw new Refused('broken', 'it has errors that its own check does not mend by itself')
}

/**
 * Counts anew what follows from inodes and folders that were changed, and packs all folders, so that the names of what was
 * deleted are gone.
 * Throws Refused unless nothing is left to be said then.
 * @returns the version of the tool
 */
export async function settle(checked: Checked): Promise<string> {
  const settled = await check(checked, '-fyD')
  if (settled.exitCode > MENDED || LOSES.test(settled.stdout.toString('latin1'))) {
    throw new Refused('not-mended', 'its own check did not take what was changed')
  }
  const { exitCode, stderr } = await check(checked, '-fn')
  if (exitCode !== 0) throw new Refused('not-clean', 'it was not clean after it was changed')
  return versionIn(stderr)
}

/** The version of the tool. */
export async function checkerVersion(jail: RunJailed, work: string, signal: AbortSignal): Promise<string> {
  const run = { command: CHECKED, args: ['-V'], work, limits: { ...LIMITS, fileBytes: 0 } }
  return versionIn((await jail(run, signal)).stderr)
}

const versionIn = (stderr: Buffer): string => /e2fsck (\S{1,40})/.exec(stderr.toString('latin1'))?.[1] ?? 'unknown'

async function check({ jail, work, name, bytes, now, signal }: Checked, mode: string) {
  const env = { E2FSCK_TIME: String(now), E2FSPROGS_FAKE_TIME: String(now) }
  const limits = { ...LIMITS, fileBytes: bytes }
  try {
    return await jail({ command: CHECKED, args: [mode, ...AS_THEY_ARE, name], env, work, limits }, signal)
  } catch (error) {
    if (error instanceof JailTimeout) throw new Refused('too-slow', 'its own check takes too long')
    throw error
  }
}
