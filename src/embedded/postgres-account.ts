import { execFile } from 'node:child_process'
import { chown, cp, lstat, mkdir, mkdtemp, readlink, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { EmbeddedPostgresError } from './postgres-error.ts'
import type { PostgresPackage } from './postgres-package.ts'

const run = promisify(execFile)

/** `nobody` and `nogroup`: initdb wants an account that has a name. */
const NOBODY = 65534

/** For root in a container without user namespaces: a folder that other accounts can reach. */
const SHARED_FOLDER = '/var/lib/glance-export'

/** As whom the server runs, and where its files then have to lie. */
export type PostgresAccount = {
  /** Command that precedes the server's own. */
  readonly prefix: readonly string[]
  /** Binaries, reachable for the account. */
  readonly bin: string
  /** The cluster's folder; its parent exists and is the account's to write. */
  readonly cluster: string
  /** Owner of folders made for the server, where it is not the owner of this process. */
  readonly uid?: number
}

/**
 * PostgreSQL refuses to run as root. So root runs it as `nobody` of a user namespace, where root's own files are
 * nobody's and everything stays in place; where there are no such namespaces (Docker's default), as the real
 * `nobody` on copies in a shared folder, and `<dataDir>/postgres` becomes a symlink to the cluster.
 */
export async function postgresAccount(dataDir: string, found: PostgresPackage): Promise<PostgresAccount> {
  const link = join(dataDir, 'postgres')
  const bin = join(found.native, 'bin')
  if (process.getuid?.() !== 0) return { prefix: [], bin, cluster: link }

  const entry = await lstat(link).catch(() => undefined)
  const prefix = ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`]
  if (!entry?.isSymbolicLink() && (await reaches(prefix, dataDir, bin))) return { prefix, bin, cluster: link }

  if (entry?.isDirectory()) {
    throw new EmbeddedPostgresError(
      `${link} was made by an account or with user namespaces that this process has not. Start as that account, allow user namespaces, or set DATABASE_URL.`
    )
  }
  return {
    prefix: ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
    bin: join(await sharedBinaries(found), 'bin'),
    cluster: entry ? await readlink(link) : await sharedCluster(link),
    uid: NOBODY
  }
}

/** Without root's powers, files below another account's private folder are out of reach. */
async function reaches(prefix: readonly string[], dataDir: string, bin: string): Promise<boolean> {
  const [command = '', ...rest] = [
    ...prefix,
    'sh',
    '-c',
    'test -w "$1" && test -x "$2"',
    'sh',
    dataDir,
    `${bin}/postgres`
  ]
  return run(command, rest).then(
    () => true,
    () => false
  )
}

async function sharedBinaries({ native, version }: PostgresPackage): Promise<string> {
  const place = join(SHARED_FOLDER, `native-${version}`)
  if (await lstat(place).catch(() => undefined)) return place

  await mkdir(SHARED_FOLDER, { recursive: true, mode: 0o755 })
  const copy = await mkdtemp(`${place}.`)
  await cp(native, join(copy, 'native'), { recursive: true, verbatimSymlinks: true })
  // Whole or not at all; when another process was quicker its copy is as good.
  await rename(join(copy, 'native'), place).catch(() => undefined)
  await rm(copy, { recursive: true })
  return place
}

async function sharedCluster(link: string): Promise<string> {
  const folder = await mkdtemp(join(SHARED_FOLDER, 'data-'))
  await chown(folder, NOBODY, NOBODY)
  const cluster = join(folder, 'postgres')
  await mkdir(dirname(link), { recursive: true })
  await symlink(cluster, link)
  return cluster
}
