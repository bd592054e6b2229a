import { ScrubApplianceFailed } from '../../domain/scrub-errors.ts'
import type { StepReport } from '../../domain/scrub-report.ts'
import { hibernated } from '../filesystems/swap.ts'
import type { Edit, Edited } from '../guest-editor.ts'
import { Refused } from '../refused.ts'
import type { ScrubStep } from '../scrub-step.ts'
import { ApplianceFiles } from './appliance-files.ts'
import { FileChanger } from './change-files.ts'
import { commandLine } from './command-line.ts'
import { attachZeros } from './device-disk.ts'
import { LABEL } from './devices.ts'
import { eraseGuest } from './erase-guest.ts'
import { findGuest } from './find-guest.ts'
import { leftFiles } from './left-files.ts'
import { mountGuest } from './mount-guest.ts'
import { mount, mountables } from './mountable.ts'
import type { Session } from './session.ts'

/** What libblkid calls swap with the memory of a guest in it. */
const SUSPENDED = 'swsuspend'
/** Opening LUKS takes up to 1 GiB, see cryptsetup-luksFormat(8), "--pbkdf-memory"; the rest is for the machine. */
const MEMORY_FOR_KEYS_MIB = 2048

/**
 * One guest from the start of the appliance to its end. Files of Windows are looked at, and not changed.
 * @throws ScrubApplianceFailed where it does not start; Refused
 */
export async function editGuest(session: Session, edit: Edit, signal: AbortSignal): Promise<Edited> {
  const { fish, server, folder } = session
  if (edit.diskKey) await fish.ask(commandLine('set-memsize', String(MEMORY_FOR_KEYS_MIB)))
  const disk = ['format:raw', 'protocol:nbd', `server:unix:${server.path}`, 'discard:enable', 'cachemode:unsafe']
  await fish.ask(commandLine('add-drive', '', ...disk, `label:${LABEL}`))
  // Else what is free in pieces of less than 4 KiB is never trimmed.
  await fish.ask(commandLine('config', '-global', 'scsi-hd.discard_granularity=512'))
  await attachZeros(fish)
  await fish.ask('run').catch((cause: unknown) => {
    throw cause instanceof Refused ? new ScrubApplianceFailed({ cause }) : cause
  })
  const all = await mountables(fish, edit.diskKey)
  const { root, ...guest } = await findGuest(fish, all, folder)
  const isLinux = guest.kind === 'linux'
  if (isLinux && all.some(({ type }) => type === SUSPENDED)) throw hibernated()
  const mounted = isLinux ? await mountGuest(fish, root, all, folder) : []
  if (!isLinux) await mount(fish, root, '/', 'ro')

  const files = new ApplianceFiles(fish, folder)
  const changer = new FileChanger(fish, files, folder)
  const steps: StepReport[] = []
  for (const step of edit.steps) {
    steps.push(isLinux ? await changer.carryOut(step, edit.settings, signal) : skipped(step))
  }
  for (const look of edit.looks) await look(files, signal)

  await fish.ask('umount-all')
  const left = isLinux ? await leftFiles(fish, all, mounted) : new Map<number, string>()
  const erased = await eraseGuest(session, all, isLinux, signal)
  const tools = { libguestfs: versionIn(await fish.text('version')) }
  await fish.close()
  return { guest, steps, tools, left, erased }
}

const skipped = ({ id }: ScrubStep): StepReport => ({
  id,
  changed: false,
  files: 0,
  bytes: 0,
  skipped: 'the guest is not Linux'
})

const versionIn = (printed: string): string =>
  [...printed.matchAll(/^\w+: (\d+)$/gm)].map(([, number]) => number).join('.')
