import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Rclone } from '../rclone.ts'
import { freePorts, type Processes } from './processes.ts'
import { makeKey } from './sshd.ts'

export const NEEDS = { '/usr/bin/rclone': 'rclone', '/usr/bin/ssh-keygen': 'openssh-client' }

export async function startRclone(processes: Processes): Promise<Rclone> {
  const { folder } = processes
  const port = await freePorts(2)
  const user = 'www-data'
  const files = join(folder, 'files')
  await processes.run({ argv: ['mkdir', 'files', 'cache'] })
  const hostKeySha256 = await makeKey(processes, 'host_key')
  await processes.own(user)

  const serve = (kind: string, at: number, ...more: string[]) => {
    const argv: [string, ...string[]] = ['rclone', 'serve', kind, files, '--addr', `127.0.0.1:${at}`, ...more]
    const env = { RCLONE_CONFIG: '/dev/null', HOME: join(folder, 'cache') }
    return processes.serve(kind, { argv, user, env }, [at])
  }
  await serve('webdav', port)
  const login = { username: 'user', password: randomBytes(16).toString('hex') }
  const key = ['--key', join(folder, 'host_key')]
  // Else it would not see for minutes that a test has made a folder beside it.
  const fresh = ['--dir-cache-time', '0']
  await serve('sftp', port + 1, '--user', login.username, '--pass', login.password, ...key, ...fresh)
  return {
    webdav: `http://127.0.0.1:${port}`,
    files,
    sftp: { host: '127.0.0.1', port: port + 1, ...login, hostKeySha256, root: files }
  }
}
