import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdir, mkdtemp, open, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { MiB } from '../domain/bytes.ts'
import { type PostgresAccount, postgresAccount } from './postgres-account.ts'
import { EmbeddedPostgresError } from './postgres-error.ts'
import { findPostgresPackage } from './postgres-package.ts'

const SETTINGS = [
  'listen_addresses=',
  'port=5432',
  'log_checkpoints=off',
  'max_connections=100',
  'shared_buffers=64MB',
  // Parallel queries want more of /dev/shm than a container has; ours are short.
  'max_parallel_workers_per_gather=0'
]

/** Length of `sun_path` of a unix socket's address, less the byte that ends it. */
const MAX_SOCKET_PATH = 107
/** A server whose service was killed needs about a second to shut down; a new start waits that long for the lock. */
const LOCK_WAIT_S = 5
const IN_USE = 75
/** The log starts anew at the next start once it is above this. */
const MAX_LOG_BYTES = 16 * MiB
const START_LIMIT_MS = 60_000
const POLL_MS = 20
const STOP_LIMIT_MS = 10_000

export type EmbeddedPostgresOptions = {
  /** The cluster lies in `<dataDir>/postgres`, the server's log in `<dataDir>/postgres.log`. */
  readonly dataDir: string
  readonly log: { info(details: object, message: string): void }
  /** The server ended, but not through `stop`. */
  readonly onExit?: (error: EmbeddedPostgresError) => void
}

export type EmbeddedPostgres = {
  /** For `pg` and BullMQ; no password, as only this account can reach the socket. */
  readonly url: string
  /** Open transactions are rolled back. May be called again. */
  stop(): Promise<void>
}

/**
 * Starts our own PostgreSQL on a unix socket, and makes its cluster and the database `glance_export` the first time.
 *
 * The server ends with this process, however it ends. Call from the main thread: the kernel takes the end of the
 * thread that started a child for the end of its parent.
 * @throws EmbeddedPostgresError when it cannot run here, or `dataDir` belongs to a process that is alive
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const startedAt = Date.now()
  const dataDir = resolve(options.dataDir)
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const account = await postgresAccount(dataDir, await findPostgresPackage())
  const socket = await socketFolder(account)
  const server = await launch(dataDir, account, socket.folder)

  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= shutDown(server.process).finally(socket.remove)
    return stopping
  }
  try {
    await untilReady(account.cluster, server)
    await ensureDatabase(socket.folder)
    await writeFile(lockFile(dataDir), `${process.pid}\n`)
  } catch (error) {
    await stop()
    throw error
  }
  server.ended.then((why) => {
    if (!stopping) options.onExit?.(why)
  })
  options.log.info({ tookMs: Date.now() - startedAt, pid: server.process.pid }, 'embedded PostgreSQL started')
  return { url: databaseUrl(socket.folder, 'glance_export'), stop }
}

const lockFile = (dataDir: string): string => join(dataDir, 'postgres.lock')

const databaseUrl = (socketFolder: string, database: string): string =>
  `postgres://glance_export@/${database}?host=${encodeURIComponent(socketFolder)}&port=5432`

/** The cluster itself is private and the right place for the socket, unless its path is too long for one. */
async function socketFolder({ cluster, uid }: PostgresAccount): Promise<{ folder: string; remove(): Promise<void> }> {
  if (Buffer.byteLength(`${cluster}/.s.PGSQL.5432`) <= MAX_SOCKET_PATH) {
    return { folder: cluster, remove: async () => {} }
  }
  const folder = await mkdtemp('/tmp/glance-export-')
  if (uid !== undefined) await chown(folder, uid, uid)
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) }
}

type Server = {
  readonly process: ChildProcess
  /** Settles when the process has ended, with what can be said about it. */
  readonly ended: Promise<EmbeddedPostgresError>
}

/**
 * Every link of the chain replaces itself by the next, so the child is the server in the end, and all its own
 * children hold the lock. The wish to be told of our death must come after the change of account, which clears it.
 */
async function launch(dataDir: string, account: PostgresAccount, socketFolder: string): Promise<Server> {
  const logPath = join(dataDir, 'postgres.log')
  const log = await open(logPath, 'a', 0o600)
  if ((await log.stat()).size > MAX_LOG_BYTES) await log.truncate()
  const { size } = await log.stat()
  // As text: the account may not be able to enter the folder where the file lies.
  const script = await readFile(join(import.meta.dirname, 'run-cluster.sh'), 'utf8')
  const command = [
    ...['flock', '--no-fork', `--timeout=${LOCK_WAIT_S}`, `--conflict-exit-code=${IN_USE}`, lockFile(dataDir)],
    ...account.prefix,
    ...['setpriv', '--pdeathsig=INT', 'sh', '-c', script, 'run-cluster', String(process.pid)],
    ...[account.bin, account.cluster, socketFolder, ...SETTINGS]
  ]
  const child = spawn(command[0] ?? '', command.slice(1), {
    cwd: '/',
    // Nothing of our own environment: it may hold credentials, and PG* variables would change the server.
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    // Its own session: Ctrl-C is for the service, which still needs its database while it shuts down.
    detached: true,
    stdio: ['ignore', log.fd, log.fd]
  })
  const ended = once(child, 'exit').then(
    async ([code, signal]) =>
      whyEnded(dataDir, code ?? signal, (await readFile(logPath).catch(() => Buffer.of())).toString('utf8', size)),
    (cause) =>
      new EmbeddedPostgresError('flock of util-linux could not be run. Install util-linux, or set DATABASE_URL.', {
        cause
      })
  )
  await log.close()
  return { process: child, ended }
}

async function whyEnded(dataDir: string, status: number | string, log: string): Promise<EmbeddedPostgresError> {
  if (status === IN_USE) {
    const holder = (await readFile(lockFile(dataDir), 'utf8').catch(() => '')).trim() || '(unknown)'
    return new EmbeddedPostgresError(
      `DATA_DIR is in use by process ${holder}: ${dataDir}. Stop that process, or start this one with another DATA_DIR.`
    )
  }
  const roomBytes = await statfs(dataDir).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => Number.POSITIVE_INFINITY
  )
  // A full disk may have no room for the server's complaint either.
  if (log.includes('No space left on device') || roomBytes < MiB) {
    return new EmbeddedPostgresError(
      `PostgreSQL ended because the disk of ${dataDir} is full. Make room, then start again.`
    )
  }
  const reason = log.split('\n').findLast((line) => /FATAL|PANIC|error:|not found|denied/.test(line))
  return new EmbeddedPostgresError(
    `PostgreSQL ended (${status}): ${reason?.trim() ?? 'it gave no reason'}. See ${join(dataDir, 'postgres.log')}.`
  )
}

/**
 * Waits until our server takes connections. Its pid is compared, as the server of another process may still be there;
 * the last line is its state.
 * @see https://www.postgresql.org/docs/18/storage-file-layout.html (postmaster.pid)
 */
async function untilReady(cluster: string, server: Server): Promise<void> {
  for (const giveUpAt = Date.now() + START_LIMIT_MS; Date.now() < giveUpAt; ) {
    const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
    if (Number(lines[0]) === server.process.pid && lines[7]?.trim() === 'ready') return
    const why = await Promise.race([sleep(POLL_MS), server.ended])
    if (why) throw why
  }
  throw new EmbeddedPostgresError(`PostgreSQL was not ready within ${START_LIMIT_MS / 1000} s`)
}

/** Looked for at every start: the first one may have been cut off after its cluster was made. */
async function ensureDatabase(socketFolder: string): Promise<void> {
  const client = new Client({ connectionString: databaseUrl(socketFolder, 'postgres') })
  client.on('error', () => {}) // who asks is told; without a listener it would end the process
  await client.connect()
  try {
    const { rowCount } = await client.query(`select from pg_database where datname = 'glance_export'`)
    if (rowCount === 0) await client.query('create database glance_export')
  } finally {
    await client.end()
  }
}

async function shutDown(server: ChildProcess): Promise<void> {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return
  const exit = once(server, 'exit')
  server.kill('SIGINT')
  const force = setTimeout(() => server.kill('SIGKILL'), STOP_LIMIT_MS)
  await exit
  clearTimeout(force)
}
