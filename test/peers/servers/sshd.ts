import { readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Sshd } from '../sshd.ts'
import { freePorts, type Processes, root } from './processes.ts'

export const NEEDS = { '/usr/sbin/sshd': 'openssh-server', '/usr/bin/ssh-keygen': 'openssh-client' }

export async function startSshd(processes: Processes): Promise<Sshd> {
  const { folder } = processes
  const port = await freePorts(1)
  const user = 'www-data'
  await processes.run({ argv: ['mkdir', 'files'] })
  const hostKeySha256 = await makeKey(processes, 'host_key')
  await makeKey(processes, 'client_key')
  await writeFile(join(folder, 'sshd_config'), config(folder, port))
  await processes.own(user)

  await processes.serve('sshd', { argv: ['/usr/sbin/sshd', '-D', '-e', '-f', join(folder, 'sshd_config')], user }, [
    port
  ])
  return {
    host: '127.0.0.1',
    port,
    username: root ? user : userInfo().username,
    hostKeySha256,
    privateKeyPem: await readFile(join(folder, 'client_key'), 'utf8'),
    root: join(folder, 'files')
  }
}

/** A new Ed25519 key in the folder; gives its fingerprint, `SHA256:` and base64. */
export async function makeKey(processes: Processes, name: string): Promise<string> {
  await processes.run({ argv: ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', name] })
  const [, fingerprint = ''] = (await processes.run({ argv: ['ssh-keygen', '-l', '-f', `${name}.pub`] })).split(' ')
  return fingerprint
}

const config = (folder: string, port: number) => `
Port ${port}
ListenAddress 127.0.0.1
HostKey ${folder}/host_key
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile ${folder}/client_key.pub
Subsystem sftp internal-sftp -d ${folder}/files
ForceCommand internal-sftp -d ${folder}/files
AllowTcpForwarding no
X11Forwarding no
PermitTunnel no
MaxStartups 100
LogLevel INFO
`
