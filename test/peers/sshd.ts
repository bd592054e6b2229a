import { peer } from './peer.ts'

/** A server of SFTP on 127.0.0.1. */
export type SftpServer = {
  readonly host: string
  readonly port: number
  readonly username: string
  /** `SHA256:` and base64 without padding, as ssh-keygen -l prints it. */
  readonly hostKeySha256: string
  /** The folder where sessions start. */
  readonly root: string
}

/** OpenSSH, which serves SFTP and nothing else here, for one key. */
export type Sshd = SftpServer & { readonly privateKeyPem: string }

/** @throws PeerMissing */
export const startSshd = (): Promise<Sshd & AsyncDisposable> => peer<Sshd>('sshd')
