import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import type { NetConnectOpts } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import { startEmbeddedPostgres } from '../src/embedded/postgres.ts'
import { freePorts } from '../test/peers/servers/processes.ts'
import { family } from '../test/support/process-family.ts'
import { removeDataDir } from '../test/support/remove-data-dir.ts'

/** A server of ours, that things can be done to. */
export type Server = {
  readonly address: NetConnectOpts
  /** kill -9 of all of it, and a new start so many milliseconds later. */
  outage(ms: number): Promise<void>
  /** Does one thing after the other, so that what is broken can be mended before something else is. */
  inTurn<T>(work: () => Promise<T>): Promise<T>
  [Symbol.asyncDispose](): Promise<void>
}

export type RedisServer = Server & {
  /** @param work with a connection of its own */
  command(work: (redis: Redis) => Promise<unknown>): Promise<void>
  freeze(ms: number): Promise<void>
  /** Removes its dump. */
  forget(): Promise<void>
}

function turns(): Server['inTurn'] {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const turn = last.then(work)
    last = turn.catch(() => {})
    return turn
  }
}

/** The embedded PostgreSQL, on its socket. */
export async function startPostgres(folder: string): Promise<Server & { readonly url: string }> {
  const dataDir = join(folder, 'database')
  let pid = 0
  const start = () =>
    startEmbeddedPostgres({
      dataDir,
      log: {
        info: (details) => {
          pid = Number(Reflect.get(details, 'pid'))
        }
      },
      onExit: () => {} // only `crash` ends it
    })
  let server = await start()
  const socket = new URL(server.url.replace('@/', '@socket/')).searchParams.get('host') ?? ''
  return {
    url: server.url,
    address: { path: join(socket, '.s.PGSQL.5432') },
    async outage(ms) {
      for (const one of family(pid)) kill(one.pid)
      await server.stop()
      await sleep(ms)
      server = await start()
    },
    inTurn: turns(),
    async [Symbol.asyncDispose]() {
      await server.stop()
      await removeDataDir(dataDir)
    }
  }
}

/** An own Redis that keeps nothing of its own accord; undefined where there is no `redis-server`. */
export async function startRedis(folder: string): Promise<RedisServer | undefined> {
  const port = await freePorts(1)
  const options = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--save', '', '--appendonly', 'no']
  let child: ChildProcess
  const start = async () => {
    child = spawn('setpriv', ['--pdeathsig=KILL', 'redis-server', ...options], { stdio: 'ignore' })
    const ended = once(child, 'exit').then(
      () => false,
      () => false
    )
    const client = connect()
    const answers = client.ping().then(
      () => true,
      () => false
    )
    const up = await Promise.race([answers, ended])
    client.disconnect()
    return up
  }
  const connect = () => {
    const client = new Redis(port, '127.0.0.1', { retryStrategy: () => 20, maxRetriesPerRequest: null })
    client.on('error', () => {}) // refused until it listens
    return client
  }
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  if (!(await start())) return undefined
  return {
    address: { port, host: '127.0.0.1' },
    async command(work) {
      const client = connect()
      await work(client).finally(() => client.disconnect())
    },
    async freeze(ms) {
      child.kill('SIGSTOP')
      await sleep(ms)
      child.kill('SIGCONT')
    },
    forget: () => rm(join(folder, 'dump.rdb'), { force: true }),
    async outage(ms) {
      await end()
      await sleep(ms)
      await start()
    },
    inTurn: turns(),
    [Symbol.asyncDispose]: end
  }
}

/** The queue that lives in PostgreSQL, emptied as FLUSHALL empties Redis. */
export async function emptyQueueTables(database: pg.Pool): Promise<void> {
  const { rows } = await database.query<{ schema: string }>(
    `select table_schema as schema from information_schema.tables where table_name = 'job_dependency'`
  )
  for (const { schema } of rows) await database.query(`truncate ${pg.escapeIdentifier(schema)}.job cascade`)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has ended meanwhile
  }
}
