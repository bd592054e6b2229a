import { mkdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import type { Logger } from 'pino'
import { type Config, ConfigInvalid } from '../config.ts'
import { DEFAULT_LIMITS } from '../destinations/connection.ts'
import { createDestinations, type Destinations } from '../destinations/registry.ts'
import { type KnownHosts, readKnownHosts } from '../destinations/sftp/known-hosts.ts'
import { Staging, type StagingSettings } from '../destinations/tempurl/staging.ts'
import { MiB } from '../domain/bytes.ts'
import type { Fairness } from '../export/fairness.ts'
import type { TaskStore } from '../export/ports.ts'
import type { Quotas } from '../export/quotas.ts'
import type { ScrubPolicy } from '../export/scrub-policy.ts'
import { createHashers, type Hashers } from '../hashing/hashers.ts'
import { type LibraryFiles, libraryFiles } from '../images/library-files.ts'
import { Buffers } from '../pipeline/buffers.ts'
import { createCompressors } from '../pipeline/compressors.ts'
import type { Engine } from '../pipeline/engine.ts'
import { imageStore } from '../postgres/image-store.ts'
import { createPool } from '../postgres/pool.ts'
import { createTaskStore } from '../postgres/task-store.ts'
import { tempUrlStore } from '../postgres/temp-url-store.ts'
import type { QueueBackend } from '../queue/backend.ts'
import { createExportQueue } from '../queue/export-queue.ts'
import type { TempUrlStore } from '../temp-urls/ports.ts'
import { readKeys, readOrMakeKeys } from '../vault/key-file.ts'
import { type Keys, namedKeys } from '../vault/keys.ts'
import { crashPoints } from './crash-points.ts'
import { scrubPolicyOf } from './scrub-policy.ts'
import { type Editors, openEditors } from './scrubbing.ts'

/** A part of the service that runs until it is closed. */
export type Running = { close(): Promise<void> }

/** What both processes stand on: the rows, the images' files, the destinations, the keys and the doorbell. */
export type Foundation = Running & {
  readonly config: Config
  readonly log: Logger
  readonly pool: pg.Pool
  readonly tasks: TaskStore
  readonly files: LibraryFiles
  readonly tempUrls: TempUrlStore
  /** Files that wait for their download. */
  readonly staging: Staging
  readonly destinations: Destinations
  readonly scrubPolicy: ScrubPolicy
  readonly editors: Editors
  /** Of credentials. The API makes a sealer of them, the worker an opener. */
  readonly keys: Keys
  readonly queue: ReturnType<typeof createExportQueue>
  readonly engine: Engine
  readonly backend: QueueBackend
}

const POOL_CONNECTIONS = 10
const EMBEDDED_RESERVE_BYTES = 128 * MiB

/** @param databaseUrl of a database whose schema is this release's */
export async function layFoundation(config: Config, log: Logger, databaseUrl: string): Promise<Foundation> {
  const editors = await openEditors(config, log)
  const scrubPolicy = await scrubPolicyOf(config, editors.tools)
  const dir = join(config.DATA_DIR, 'images')
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const pool = createPool({
    url: databaseUrl,
    max: POOL_CONNECTIONS,
    onError: (err) => log.warn({ err }, 'database connection lost')
  })
  const cores = availableParallelism()
  const engine = { compressors: createCompressors(cores), hashers: createHashers(cores), buffers: new Buffers() }
  // The embedded PostgreSQL ends when it cannot write: images and files leave it room on the disk they share.
  const reserveBytes = config.DATABASE_URL ? 0 : EMBEDDED_RESERVE_BYTES
  const staging = { dir: join(config.DATA_DIR, 'exports'), reserveBytes }
  const watch = crashPoints(config.CRASH_AT)
  const destinations = await destinationsOf(config, engine.hashers, staging)
  const backend = queueBackend(config, databaseUrl)
  const queue = createExportQueue(backend, log)
  const keys = await keysOf(config)
  return {
    config,
    log,
    pool,
    tasks: watch('tasks', taskStoreOf(config, pool)),
    files: libraryFiles({
      dir,
      hashers: engine.hashers,
      reserveBytes,
      uploadOf: (id) => imageStore(pool).uploadOf(id)
    }),
    tempUrls: tempUrlStore(pool),
    staging: new Staging(staging),
    destinations: watch('destinations', destinations),
    scrubPolicy,
    editors,
    keys,
    backend,
    queue,
    engine,
    async close() {
      await Promise.all([engine.compressors.close(), engine.hashers.close()])
      destinations.close()
      await queue.close()
      await pool.end()
    }
  }
}

async function destinationsOf(config: Config, hashers: Hashers, staging: StagingSettings): Promise<Destinations> {
  const extraCa = config.DESTINATION_CA_FILE && (await readAuthorities(config.DESTINATION_CA_FILE))
  const knownHosts = config.SFTP_KNOWN_HOSTS && (await readHosts(config.SFTP_KNOWN_HOSTS))
  const silenceMs = config.DESTINATION_SILENCE_SECONDS * 1000
  return createDestinations({
    allowedNetworks: config.ALLOWED_NETWORKS,
    allowedEndpoints: config.ALLOWED_ENDPOINTS,
    hashers,
    staging,
    limits: { ...DEFAULT_LIMITS, idleMs: silenceMs, answerMs: silenceMs },
    ...(extraCa && { extraCa }),
    ...(knownHosts && { knownHosts }),
    ...(config.FILE_ROOT && { fileRoot: config.FILE_ROOT })
  })
}

const taskStoreOf = (config: Config, pool: pg.Pool): TaskStore =>
  createTaskStore(pool, {
    maxAttempts: config.TASK_ATTEMPTS,
    deadlineMs: config.TASK_DEADLINE_SECONDS * 1000,
    quotas: quotasOf(config),
    fairness: fairnessOf(config),
    keepMs: config.TASK_KEEP_SECONDS * 1000,
    tempUrlMs: config.TEMP_URL_SECONDS * 1000,
    leaseMs: config.LEASE_SECONDS * 1000
  })

const fairnessOf = (config: Config): Fairness => ({
  weights: config.PROJECT_WEIGHTS,
  hostConcurrency: config.HOST_CONCURRENCY,
  projectConcurrency: config.PROJECT_CONCURRENCY
})

export const quotasOf = (config: Config): Quotas => ({
  activeTasks: config.QUOTA_ACTIVE_TASKS,
  bytesPerDay: config.QUOTA_BYTES_PER_DAY
})

async function keysOf({ KEK, KEK_FILE, DATA_DIR }: Config): Promise<Keys> {
  if (KEK) return namedKeys(KEK.unwrap())
  return KEK_FILE ? readKeys(KEK_FILE) : readOrMakeKeys(join(DATA_DIR, 'kek.json'))
}

async function readAuthorities(path: string): Promise<string> {
  const text = await readFile(path, 'utf8')
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw new ConfigInvalid([`DESTINATION_CA_FILE: ${path} holds no certificate in PEM form`])
  return text
}

async function readHosts(path: string): Promise<KnownHosts> {
  const text = await readFile(path, 'utf8')
  try {
    return readKnownHosts(text)
  } catch (error) {
    throw new ConfigInvalid([`SFTP_KNOWN_HOSTS: ${path}: ${error instanceof Error ? error.message : error}`])
  }
}

const queueBackend = (config: Config, databaseUrl: string): QueueBackend =>
  config.REDIS_URL ? { kind: 'redis', url: config.REDIS_URL } : { kind: 'postgres', url: databaseUrl }
