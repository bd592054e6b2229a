import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrate } from '../src/postgres/migrate.ts'
import { freePorts } from '../test/peers/servers/processes.ts'
import { Api } from './api.ts'
import { setClock } from './clock.ts'
import { History } from './history.ts'
import { type Line, openLine } from './line.ts'
import type { Random } from './random.ts'
import { emptyQueueTables, type RedisServer, type Server, startPostgres, startRedis } from './servers.ts'
import { type Death, Slot } from './slots.ts'
import { SmallDisk } from './small-disk.ts'
import { openStores, type Stores } from './stores.ts'

/** Of libfaketime, which Debian's package of that name brings. */
const FAKETIME = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1'
]

/** A process of the service, and its own lines to the servers. */
export type Post = {
  readonly slot: Slot
  readonly database: Line
  readonly queue: Line | undefined
  /** libfaketime reads from it how far the wall clock is off. */
  readonly clockFile: string | undefined
}

export type Ground = {
  readonly folder: string
  readonly dataDir: string
  readonly logs: string
  /** In the environment of every process. */
  readonly mark: string
  readonly database: Server
  readonly redis: RedisServer | undefined
  readonly history: History
  readonly stores: Stores
  readonly api: Api
  readonly http: Post
  readonly workers: readonly Post[]
  readonly deaths: Death[]
  /** Where the next life of a worker is to crash. */
  crashNextAt(choose: (program: 'http' | 'worker') => string | undefined): void
  flushQueue(): Promise<void>
  /** The disk of the staging area, where it has one of its own. */
  readonly stagingDisk: SmallDisk | undefined
  /** What cannot be done here, and why. */
  readonly missing: readonly string[]
  [Symbol.asyncDispose](): Promise<void>
}

export type GroundOptions = {
  readonly workers: number
  readonly queue: 'redis' | 'postgres'
  /** Settings of the service besides those that the ground needs. */
  readonly env: Readonly<Record<string, string>>
  /** Folder for what the processes print, kept; otherwise that goes with the rest. */
  readonly logs?: string | undefined
}

/** Starts everything but the processes of the service, in a folder that is gone afterwards. */
export async function prepareGround(options: GroundOptions, random: Random): Promise<Ground> {
  await using opened = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'torture-'))
  opened.defer(() => rm(folder, { recursive: true, force: true }))
  const part = async (name: string) => {
    const path = join(folder, name)
    await mkdir(path, { recursive: true })
    return path
  }
  const [dataDir, logs, fileRoot] = [await part('data'), options.logs ?? (await part('logs')), await part('files')]
  await mkdir(logs, { recursive: true })
  const missing: string[] = []

  const staging = await part('data/exports')
  const stagingDisk = await SmallDisk.mount(staging)
  if (stagingDisk) opened.use(stagingDisk)
  else missing.push('a full disk: a tmpfs cannot be mounted here, which takes root')
  const faketime = FAKETIME.find((path) => existsSync(path))
  if (!faketime) missing.push('clock jumps: libfaketime is not installed (apt-get install libfaketime)')

  const database = opened.use(await startPostgres(folder))
  const redis = options.queue === 'redis' ? await startRedis(folder) : undefined
  if (redis) opened.use(redis)
  else if (options.queue === 'redis')
    missing.push('Redis: there is no redis-server here, so the queue lives in PostgreSQL')
  await migrate(database.url, { queue: !redis })
  const history = opened.use(new History(database.url))
  await history.begin()
  const stores = opened.use(await openStores(fileRoot, random.fork('stores')))

  const mark = `TORTURE=${randomUUID()}`
  const deaths: Death[] = []
  const port = await freePorts(1)
  let crashAt: (program: 'http' | 'worker') => string | undefined = () => undefined
  const post = async (name: string, program: 'http' | 'worker'): Promise<Post> => {
    const toDatabase = opened.use(await openLine(database.address))
    const toQueue = redis && opened.use(await openLine(redis.address))
    // Only one worker: it is slower with it.
    const clockFile = name === 'worker-1' && faketime ? join(folder, `${name}.clock`) : undefined
    if (clockFile) await setClock(clockFile, 0)
    const env = {
      DATABASE_URL: `postgres://glance_export@127.0.0.1:${toDatabase.port}/glance_export`,
      ...(toQueue && { REDIS_URL: `redis://127.0.0.1:${toQueue.port}` }),
      DATA_DIR: dataDir,
      FILE_ROOT: fileRoot,
      PORT: String(port),
      ALLOWED_NETWORKS: '127.0.0.0/8',
      RATE_LIMIT_READS: '0',
      RATE_LIMIT_WRITES: '0',
      TORTURE: mark.slice('TORTURE='.length),
      ...(clockFile && { LD_PRELOAD: faketime ?? '', ...clockOf(clockFile) }),
      ...options.env
    }
    const slot = new Slot({
      name,
      program,
      env,
      folder: logs,
      onDeath: (death) => deaths.push(death),
      crashAt: () => crashAt(program)
    })
    return { slot: opened.use(slot), database: toDatabase, queue: toQueue, clockFile }
  }
  const http = await post('http', 'http')
  const workers: Post[] = []
  for (let number = 1; number <= options.workers; number += 1) workers.push(await post(`worker-${number}`, 'worker'))
  const all = opened.move()
  return {
    folder,
    dataDir,
    logs,
    mark,
    database,
    redis,
    history,
    stores,
    api: new Api(`http://127.0.0.1:${port}`),
    http,
    workers,
    deaths,
    crashNextAt(choose) {
      crashAt = choose
    },
    flushQueue: () => (redis ? redis.command((client) => client.flushall()) : emptyQueueTables(history.pool)),
    stagingDisk,
    missing,
    [Symbol.asyncDispose]: () => all.disposeAsync()
  }
}

/** The file is read again every second, so that the clock can jump under a process that runs. */
const clockOf = (file: string) => ({
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_CACHE_DURATION: '1',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
  NO_FAKE_STAT: '1'
})
