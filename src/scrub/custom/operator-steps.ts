import { constants } from 'node:fs'
import { access, mkdtemp, readdir, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, parse } from 'node:path'
import { GiB, KiB } from '../../domain/bytes.ts'
import { OperatorStepFailed, OperatorStepRefused } from '../../domain/scrub-errors.ts'
import type { Guest, ScrubReport } from '../../domain/scrub-report.ts'
import { type JailLimits, JailTimeout, type RunJailed } from '../../jail/jail.ts'
import { serveNbd } from '../nbd/server.ts'
import type { Served } from '../nbd/transmission.ts'
import { wordsOf } from './step-report.ts'

/** An executable of the operator's; `id` is its file's name without the ending. */
export type OperatorStep = { readonly id: string; readonly path: string }

/** What a step is told, as JSON on its standard input, besides where the disk is. */
export type StepSubject = {
  readonly taskId: string
  readonly imageId: string
  /** What the export is written as. */
  readonly format: string
  readonly guest: Guest
}

export type OperatorStepUses = {
  readonly jail: RunJailed
  /** Makes an empty folder below the attempt's folder. */
  readonly folder: (name: string) => Promise<string>
  /** Of each step. */
  readonly wallMs: number
  /** Told before each step. */
  readonly begin: (id: string) => void
}

const REFUSED = 10
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(\.[a-z0-9]{1,8})?$/

/** The executables in a folder, in the order of their names. Hidden files, backups and the like are none. */
export async function operatorStepsIn(folder: string): Promise<readonly OperatorStep[]> {
  const steps: OperatorStep[] = []
  for (const entry of (await readdir(folder)).filter((name) => NAME.test(name)).sort()) {
    const path = await realpath(join(folder, entry))
    const executable = await access(path, constants.X_OK).then(
      () => true,
      () => false
    )
    if (executable) steps.push({ id: parse(entry).name, path })
  }
  return steps
}

/**
 * Runs the operator's own steps, one after the other, each in the jail with the disk as a network block device: it may read
 * it and change it.
 * @throws OperatorStepRefused, OperatorStepFailed, the disk's own error, and the reason of `signal`
 */
export async function runOperatorSteps(
  disk: Served,
  steps: readonly OperatorStep[],
  subject: StepSubject,
  uses: OperatorStepUses,
  signal: AbortSignal
): Promise<NonNullable<ScrubReport['custom']>> {
  const reports: NonNullable<ScrubReport['custom']>[number][] = []
  for (const step of steps) {
    uses.begin(step.id)
    reports.push(await run(disk, step, subject, uses, signal))
  }
  return reports
}

async function run(
  disk: Served,
  { id, path }: OperatorStep,
  subject: StepSubject,
  { jail, folder, wallMs }: OperatorStepUses,
  signal: AbortSignal
) {
  // The attempt's folder may have too long a path for a socket.
  const nbdFolder = await mkdtemp(join(tmpdir(), 'step-'))
  try {
    await using server = await serveNbd(disk, nbdFolder)
    const nbd = { socket: server.path, uri: `nbd+unix:///?socket=${server.path}` }
    const stdin = JSON.stringify({ version: 1, ...subject, disk: { bytes: disk.virtualSize, ...nbd } })
    const work = await folder(`step-${id}`)
    const jailed = { command: path, args: [], stdin, work, readable: [path, nbdFolder], limits: limits(disk, wallMs) }
    const { exitCode, stdout } = await jail(jailed, signal)
    if (server.failure) throw server.failure
    const words = wordsOf(stdout)
    if (exitCode === REFUSED) throw new OperatorStepRefused(id, words?.note ?? 'it gave no reason')
    if (exitCode !== 0) throw new OperatorStepFailed(id, `it ended with ${exitCode}`)
    if (!words) throw new OperatorStepFailed(id, 'what it printed is no report')
    return { id, exitCode, ...words }
  } catch (error) {
    if (error instanceof JailTimeout) throw new OperatorStepFailed(id, 'it took too long', { cause: error })
    throw error
  } finally {
    await rm(nbdFolder, { recursive: true, force: true })
  }
}

/** Room for a copy of the disk, which some tools cannot do without. */
const limits = (disk: Served, wallMs: number): JailLimits => ({
  memoryBytes: 4 * GiB,
  cpuSeconds: Math.ceil(wallMs / 1000),
  fileBytes: disk.virtualSize + GiB,
  processes: 64,
  wallMs,
  outputBytes: 64 * KiB
})
