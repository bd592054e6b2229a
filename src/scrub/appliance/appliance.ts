import { access, chown, constants, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Edit, Edited, GuestEditor } from '../guest-editor.ts'
import { serveNbd } from '../nbd/server.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import { Refused } from '../refused.ts'
import { editGuest } from './edit-guest.ts'
import { Fish } from './fish.ts'

export type ApplianceSettings = {
  /** Of one guest, from beginning to end, in milliseconds; then all processes are ended. */
  readonly limitMs: number
  /**
   * Folder where libguestfs builds the appliance once and keeps it, about 400 MB, and where each guest has its files while it
   * is there. Its path is short enough for a socket below it; where this process is root, all accounts may write to it.
   */
  readonly cache: string
  /** Opens LUKS. */
  readonly passphrase?: string
}

/** `nobody`: root's powers are left behind. */
const NOBODY = 65534
const PROGRAM_FOLDERS = ['/usr/local/bin', '/usr/bin']

/**
 * Changes guests in a virtual machine of libguestfs: their file systems meet a kernel of its own, and nothing of the host.
 * The processor is always emulated: that there is a /dev/kvm does not say that it works, and where it does not it hangs.
 * The disk is a socket to this process, so all that is written goes to the overlay; free space is made zeros in there.
 */
export function appliance(settings: ApplianceSettings): GuestEditor {
  return {
    name: 'appliance',
    async edit(disk, edit, signal) {
      signal.throwIfAborted()
      const limit = AbortSignal.timeout(settings.limitMs)
      // Not the attempt's folder: its path may be too long for a socket, and `nobody` may not reach it.
      const folder = await mkdtemp(join(settings.cache, 'appliance-'))
      try {
        return await editIn(folder, settings, disk, edit, AbortSignal.any([signal, limit]))
      } catch (error) {
        signal.throwIfAborted()
        if (!limit.aborted) throw error
        throw new Refused('too-slow', `the appliance was not through after ${settings.limitMs / 1000} seconds`)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    }
  }
}

async function editIn(
  folder: string,
  { cache, passphrase }: ApplianceSettings,
  disk: OverlayDisk,
  edit: Edit,
  signal: AbortSignal
): Promise<Edited> {
  const uid = process.getuid?.() === 0 ? NOBODY : undefined
  if (uid !== undefined) await chown(folder, uid, uid)
  await using server = await serveNbd(disk, folder, uid)
  await using fish = new Fish(await commandFor(uid), folder, environment(folder, cache), signal)
  const edited = await editGuest({ fish, server, folder, passphrase }, edit, signal).catch((error: unknown) => {
    // Of an error of the disk the appliance knows only that there was one.
    throw server.failure ?? error
  })
  if (server.failure) throw server.failure
  return edited
}

/** guestfish ends with this process, and the machine that it started with guestfish. */
async function commandFor(uid: number | undefined): Promise<string[]> {
  const there = await Promise.all(PROGRAM_FOLDERS.map((folder) => isThere(join(folder, 'guestfish'))))
  if (!there.includes(true)) {
    throw new Refused('no-appliance', 'it takes the appliance, and libguestfs is not installed here')
  }
  const account = uid === undefined ? [] : [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  const prefix = ['setpriv', '--pdeathsig', 'KILL', '--no-new-privs', ...account]
  return [...prefix, 'guestfish', '--no-progress-bars', '--keys-from-stdin']
}

const environment = (folder: string, cache: string) => ({
  PATH: [...PROGRAM_FOLDERS, '/usr/sbin', '/bin', '/sbin'].join(':'),
  LC_ALL: 'C',
  HOME: folder,
  TMPDIR: folder,
  LIBGUESTFS_CACHEDIR: cache,
  LIBGUESTFS_BACKEND: 'direct',
  LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg'
})

const isThere = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false
  )
