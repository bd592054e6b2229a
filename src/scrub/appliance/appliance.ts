import { access, chown, constants, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ScrubApplianceFailed } from '../../domain/scrub-errors.ts'
import type { Edit, Edited, GuestEditor } from '../guest-editor.ts'
import { serveNbd } from '../nbd/server.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import { Refused } from '../refused.ts'
import { lockedUp, ownAccount, PROGRAM_FOLDERS, PROGRAM_PATH } from './account.ts'
import { editGuest } from './edit-guest.ts'
import { Fish } from './fish.ts'
import { askedOnce, kvmWorks } from './kvm.ts'

export type ApplianceSettings = {
  /** Of one guest, from beginning to end, in milliseconds; then all processes are ended. */
  readonly limitMs: number
  /**
   * Folder where libguestfs builds the appliance once and keeps it, about 400 MB, and where each guest has its files while it
   * is there. Its path is short enough for a socket below it; where this process is root, all accounts may write to it.
   */
  readonly cache: string
  /** `probe`: KVM is tried out when the first guest comes. Otherwise the processor is always emulated. */
  readonly kvm?: 'off' | 'probe'
}

const PROBE_MS = 10_000

/**
 * Changes guests in a virtual machine of libguestfs: their file systems meet a kernel of its own, and nothing of the host.
 * The processor is emulated unless KVM was proved to work: that there is a /dev/kvm says nothing, and where it does not work
 * it hangs. The disk is a socket to this process, so all that is written goes to the overlay; free space is made zeros in
 * there.
 */
export function appliance(settings: ApplianceSettings): GuestEditor {
  const { cache, kvm } = settings
  const probe = { folder: cache, account: ownAccount(), limitMs: PROBE_MS }
  const hasKvm = askedOnce(async () => kvm === 'probe' && process.arch === 'x64' && (await kvmWorks(probe)))
  return {
    name: 'appliance',
    async edit(disk, edit, signal) {
      signal.throwIfAborted()
      const command = await guestfish()
      const accelerator = (await hasKvm()) ? 'kvm' : 'tcg'
      const limit = AbortSignal.timeout(settings.limitMs)
      // Not the attempt's folder: its path may be too long for a socket, and `nobody` may not reach it.
      const folder = await mkdtemp(join(cache, 'appliance-'))
      try {
        const env = environment(folder, cache, accelerator)
        const edited = await editIn(folder, { command, env }, disk, edit, AbortSignal.any([signal, limit]))
        return { ...edited, tools: { ...edited.tools, accelerator } }
      } catch (error) {
        signal.throwIfAborted()
        if (!limit.aborted || error instanceof ScrubApplianceFailed) throw error
        throw new Refused('too-slow', `the appliance was not through after ${settings.limitMs / 1000} seconds`)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    }
  }
}

type Program = { readonly command: readonly string[]; readonly env: Readonly<Record<string, string>> }

async function editIn(
  folder: string,
  { command, env }: Program,
  disk: OverlayDisk,
  edit: Edit,
  signal: AbortSignal
): Promise<Edited> {
  const account = ownAccount()
  if (account) await chown(folder, account.uid, account.gid)
  await using server = await serveNbd(disk, folder, account?.uid)
  await using fish = new Fish(command, folder, env, signal)
  const edited = await editGuest({ fish, server, folder, gaps: edit.gaps }, edit, signal).catch((error: unknown) => {
    // Of an error of the disk the appliance knows only that there was one.
    throw server.failure ?? error
  })
  if (server.failure) throw server.failure
  return edited
}

/** guestfish ends with this process, and the machine that it started with guestfish. */
async function guestfish(): Promise<string[]> {
  const there = await Promise.all(PROGRAM_FOLDERS.map((folder) => isThere(join(folder, 'guestfish'))))
  if (!there.includes(true)) {
    throw new Refused('no-appliance', 'it takes the appliance, and libguestfs is not installed here')
  }
  return [...lockedUp(ownAccount()), 'guestfish', '--no-progress-bars']
}

const environment = (folder: string, cache: string, accelerator: 'kvm' | 'tcg') => ({
  PATH: PROGRAM_PATH,
  LC_ALL: 'C',
  HOME: folder,
  TMPDIR: folder,
  LIBGUESTFS_CACHEDIR: cache,
  LIBGUESTFS_BACKEND: 'direct',
  ...(accelerator === 'tcg' && { LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg' })
})

const isThere = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false
  )
