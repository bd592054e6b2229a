/** Who guestfish and its machine run as. */
export type Account = { readonly uid: number; readonly gid: number }

const NOBODY = 65534
export const PROGRAM_FOLDERS = ['/usr/local/bin', '/usr/bin']
export const PROGRAM_PATH = [...PROGRAM_FOLDERS, '/usr/sbin', '/bin', '/sbin'].join(':')

/** `nobody`, where this process is root: root's powers are left behind. Undefined where it stays who it is. */
export const ownAccount = (): Account | undefined =>
  process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : undefined

/** What a command begins with that runs as this account, gains no powers, and ends with this process. */
export function lockedUp(account: Account | undefined): string[] {
  const as = account ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'] : []
  return ['setpriv', '--pdeathsig', 'KILL', '--no-new-privs', ...as]
}
