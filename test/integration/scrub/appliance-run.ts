import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Disk } from '../../../src/disks/disk.ts'
import { appliance } from '../../../src/scrub/appliance/appliance.ts'
import { createOverlay } from '../../../src/scrub/create-overlay.ts'
import { fileSystems } from '../../../src/scrub/filesystems/registry.ts'
import type { Edit } from '../../../src/scrub/guest-editor.ts'
import { planScrub } from '../../../src/scrub/profiles.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import { scrub } from '../../../src/scrub/scrub.ts'
import { RULES } from '../../support/scrub-policy.ts'

export const MINUTE_MS = 60_000
export const SETTINGS = { limitMs: 8 * MINUTE_MS, cache: '/var/tmp' } as const
export const NEVER = new AbortController().signal
/** One partition, as large as the disk lets it be. */
export const PARTITION = ['part-init /dev/sda gpt', 'part-add /dev/sda p 2048 -4096']

export const everyStep = (work: string): Edit => ({
  steps: scrubSteps().filter(({ generalizes }) => generalizes),
  settings: { providerPaths: [], firstBootScript: undefined },
  looks: [],
  gaps: RULES.gaps,
  work
})

/** Scrubs a disk for somebody who wants all of it, and takes it as it is where that cannot be had. */
export async function scrubOrSkip(disk: Disk, work: string, cache: string = SETTINGS.cache) {
  const plan = planScrub({ profile: 'generalize', on_unrecognized_os: 'skip' }, undefined, RULES, scrubSteps())
  const uses = {
    editors: [appliance({ ...SETTINGS, cache })],
    fileSystems: fileSystems(),
    overlay: createOverlay,
    folder: async (name: string) => {
      const folder = `${work}-${name}`
      await mkdir(folder)
      return folder
    },
    clock: () => performance.now(),
    tell: () => {}
  }
  return scrub(disk, plan, uses, NEVER)
}

/** What guests in the appliance have on the host. */
export const applianceFolders = async () =>
  (await readdir(SETTINGS.cache)).filter((name) => name.startsWith('appliance-'))

export const sha256 = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

/** A folder that is gone on dispose. */
export async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'planted-'))
  return {
    path,
    at: (name: string) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, maxRetries: 3 })
  }
}
