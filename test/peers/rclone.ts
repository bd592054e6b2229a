import { peer } from './peer.ts'
import type { SftpServer } from './sshd.ts'

/**
 * rclone as a WebDAV server, which keeps what it got of a broken PUT, and as an SFTP server that takes a password. That one is
 * good for logins and small files: it refuses a file of which several pieces are on the way at once.
 */
export type Rclone = {
  /** URL of the folder `files`, without a slash at its end. Wants no login. */
  readonly webdav: string
  readonly files: string
  /** Its paths are relative to `root`, with or without a slash in front. */
  readonly sftp: SftpServer & { readonly password: string }
}

/** @throws PeerMissing */
export const startRclone = (): Promise<Rclone & AsyncDisposable> => peer<Rclone>('rclone')
