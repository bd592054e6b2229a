import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Config, ConfigInvalid } from '../config.ts'
import { MiB } from '../domain/bytes.ts'
import type { OperatorSteps, ScrubSourceUses } from '../export/attempt/scrub-source.ts'
import type { Log } from '../export/ports.ts'
import { JailUnavailable, type RunJailed } from '../jail/jail.ts'
import { openJail } from '../jail/open-jail.ts'
import { appliance } from '../scrub/appliance/appliance.ts'
import { createOverlay } from '../scrub/create-overlay.ts'
import { operatorStepsIn } from '../scrub/custom/operator-steps.ts'
import { checkerVersion } from '../scrub/fast/check-file-system.ts'
import { fastEditor } from '../scrub/fast/fast.ts'
import { fileSystems } from '../scrub/filesystems/registry.ts'
import type { GuestEditor } from '../scrub/guest-editor.ts'
import { Scratch } from '../scrub/scratch.ts'

/** The overlay of a usual guest is some megabytes; the rest is for the appliance and for what others write meanwhile. */
const RESERVE_BYTES = 512 * MiB
const VERSION_MS = 10_000

/** What changes disks on this machine, and its versions by name. */
export type Editors = {
  readonly editors: readonly GuestEditor[]
  readonly operator: OperatorSteps | undefined
  readonly tools: Readonly<Record<string, string>>
}

/**
 * Where programs cannot be locked up, the fast way is left out and the log says what the operator can do.
 * @throws ConfigInvalid where the operator's own steps could not run then
 */
export async function openEditors(config: Config, log: Log): Promise<Editors> {
  const editors: GuestEditor[] = []
  const tools: Record<string, string> = {}
  let operator: OperatorSteps | undefined
  try {
    const jail = await openJail(config.JAIL)
    if (config.SCRUB_STEPS_DIR) operator = await operatorSteps(config.SCRUB_STEPS_DIR, config, jail)
    for (const { id, path } of operator?.steps ?? []) tools[`step ${id}`] = await sha256Of(path)
    const e2fsck = await versionIn(jail)
    if (e2fsck === 'unknown') throw new JailUnavailable('e2fsck does not run here: install e2fsprogs.')
    tools.e2fsck = e2fsck
    editors.push(fastEditor(jail))
  } catch (error) {
    if (!(error instanceof JailUnavailable)) throw error
    if (config.SCRUB_STEPS_DIR && !operator) throw new ConfigInvalid([`SCRUB_STEPS_DIR: ${error.message}`])
    log.warn({ why: error.message }, 'guests with ext file systems are not scrubbed the fast way')
  }
  if (config.SCRUB_APPLIANCE)
    editors.push(
      appliance({
        limitMs: config.SCRUB_APPLIANCE_SECONDS * 1000,
        cache: config.SCRUB_APPLIANCE_CACHE,
        kvm: config.SCRUB_KVM
      })
    )
  return { editors, operator, tools }
}

async function operatorSteps(folder: string, config: Config, jail: RunJailed): Promise<OperatorSteps> {
  const steps = await operatorStepsIn(folder).catch(() => [])
  if (steps.length === 0) throw new ConfigInvalid([`SCRUB_STEPS_DIR: ${folder} holds no executable`])
  return { steps, jail, wallMs: config.SCRUB_STEP_SECONDS * 1000 }
}

const sha256Of = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

async function versionIn(jail: RunJailed): Promise<string> {
  const work = await mkdtemp(join(tmpdir(), 'version-'))
  try {
    return await checkerVersion(jail, work, AbortSignal.timeout(VERSION_MS))
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** What a worker changes disks with. */
export function scrubbingOf(config: Config, { editors, operator }: Editors): ScrubSourceUses['scrubbing'] {
  const scratch = new Scratch({
    root: config.SCRATCH_ROOT ?? join(config.DATA_DIR, 'scratch'),
    host: hostname(),
    pid: process.pid,
    reserveBytes: RESERVE_BYTES
  })
  return { editors, operator, fileSystems: fileSystems(), overlay: createOverlay, scratch }
}
