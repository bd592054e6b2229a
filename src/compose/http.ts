import type pg from 'pg'
import { type Config, ConfigInvalid } from '../config.ts'
import { diskReaders } from '../disks/registry.ts'
import type { SourceUses } from '../export/attempt/open-source.ts'
import { quotaCheck } from '../export/quotas.ts'
import { atMost } from '../export/requests/at-most.ts'
import { cancelTask } from '../export/requests/cancel-task.ts'
import { changeTask } from '../export/requests/change-task.ts'
import { createdBefore, createExport } from '../export/requests/create-export.ts'
import { preflightExport } from '../export/requests/preflight-export.ts'
import { getTask } from '../export/requests/read-tasks.ts'
import { removeTask } from '../export/requests/remove-task.ts'
import { retryExport } from '../export/requests/retry-export.ts'
import { TaskWatch } from '../export/requests/task-watch.ts'
import { createFormats, type Formats } from '../formats/registry.ts'
import { devIdentity, type Identity, trustedHeadersIdentity } from '../http/access/identity.ts'
import { buildApp } from '../http/app.ts'
import type { TaskUses } from '../http/uses.ts'
import { createLibrary, type Library } from '../library/library.ts'
import { imageStore } from '../postgres/image-store.ts'
import { SCRUB_PROPERTY } from '../scrub/policy.ts'
import { OpenFiles } from '../temp-urls/open-files.ts'
import { createTempUrls, type TempUrls } from '../temp-urls/temp-urls.ts'
import { bodyPrints } from '../vault/body-prints.ts'
import { derivedKeys } from '../vault/keys.ts'
import { createSealer } from '../vault/sealer.ts'
import { capabilitiesOf } from './capabilities.ts'
import { type Foundation, quotasOf, type Running } from './foundation.ts'
import { rateCounters } from './rate-counters.ts'

/** The API, listening. Its `url` is where. */
export async function startHttp(on: Foundation): Promise<Running & { readonly url: string }> {
  const { config, log } = on
  const readers = diskReaders()
  const formats = createFormats()
  const source = { images: on.files, readers, limits: { maxVirtualSize: config.MAX_VIRTUAL_BYTES } }
  const openFiles = new OpenFiles({ ...source, formats, stagedPath: (task) => on.staging.path(task) })
  const counters = config.REDIS_URL ? rateCounters(config.REDIS_URL, log) : undefined
  const publicUrl = () => config.PUBLIC_URL ?? app.listeningOrigin
  const app = buildApp({
    tasks: tasksOf(on, source, formats),
    tempUrls: tempUrlsOf(on, openFiles, publicUrl),
    images: libraryOf(on, source),
    waitSeconds: config.LONG_POLL_SECONDS,
    deletesTasks: config.API_DELETE_TASKS,
    health: { ready: () => readiness(on.pool) },
    identity: identityOf(config),
    rateLimits: {
      readsPerProject: config.RATE_LIMIT_READS,
      writesPerProject: config.RATE_LIMIT_WRITES,
      refusedPerAddress: config.RATE_LIMIT_REFUSED,
      ...(counters && { redis: counters })
    },
    publicUrl,
    trustedProxies: config.TRUSTED_PROXIES,
    logger: log,
    formats: [...formats.keys()],
    diskFormats: [...readers.keys()],
    credentialSchemas: on.destinations.credentialSchemas,
    ...defaultSwiftOf(config),
    capabilities: capabilitiesOf({ ...on, formats, diskFormats: [...readers.keys()] })
  })
  const url = await app.listen({ host: config.HOST, port: config.PORT, listenTextResolver: () => 'API bound' })
  return {
    url,
    async close() {
      // Uploads and downloads of images may go on for hours.
      const cut = setTimeout(() => app.server.closeAllConnections(), config.SHUTDOWN_SECONDS * 800)
      await app.close().finally(() => clearTimeout(cut))
      counters?.disconnect()
      await openFiles.close()
    }
  }
}

function tasksOf(on: Foundation, source: SourceUses, formats: Formats): TaskUses {
  const { config, tasks } = on
  const resolving = {
    ...on,
    formats,
    tempUrlMaxSeconds: config.TEMP_URL_MAX_SECONDS,
    taskMaxima: {
      attempts: config.TASK_ATTEMPTS_MAX,
      deadlineSeconds: config.TASK_DEADLINE_MAX_SECONDS,
      keepSeconds: config.TASK_KEEP_MAX_SECONDS
    }
  }
  const withinQuota = quotaCheck(quotasOf(config), (owner) => tasks.usage(owner))
  const creating = { ...resolving, sealer: createSealer(on.keys), bodyPrints: bodyPrints(on.keys) }
  const create = createExport(creating)
  return {
    createExport: create,
    preflightExport: atMost(config.DRY_RUNS, preflightExport({ ...resolving, ...source, withinQuota })),
    getTask: getTask(on),
    listTasks: (viewer, query) => tasks.summaries(viewer, query),
    wholeTasks: (viewer, query) => tasks.list(viewer, query),
    cancelTask: cancelTask(on),
    retryExport: retryExport({ getTask: getTask(on), createExport: create, createdBefore: createdBefore(creating) }),
    changeTask: changeTask({
      ...on,
      maxKeepSeconds: config.TASK_KEEP_MAX_SECONDS,
      maxTempUrlSeconds: config.TEMP_URL_MAX_SECONDS
    }),
    removeTask: removeTask(on),
    watch: new TaskWatch(on, { maxWaiters: config.LONG_POLL_WAITERS })
  }
}

const tempUrlsOf = (on: Foundation, files: OpenFiles, publicUrl: () => string): TempUrls =>
  createTempUrls({
    store: on.tempUrls,
    getTask: getTask(on),
    files,
    engine: on.engine,
    log: on.log,
    deriveKeys: (purpose) => derivedKeys(on.keys, purpose),
    publicUrl,
    ttlSeconds: on.config.TEMP_URL_SECONDS,
    maxTtlSeconds: on.config.TEMP_URL_MAX_SECONDS,
    maxDownloads: on.config.TEMP_URL_DOWNLOADS
  })

const libraryOf = ({ config, pool, files, scrubPolicy }: Foundation, { readers, limits }: SourceUses): Library =>
  createLibrary({
    store: imageStore(pool, { byTempUrls: config.TEMP_URL_LOCKS_IMAGE }),
    files,
    readers,
    limits: { ...limits, maxImageSize: config.MAX_IMAGE_BYTES },
    adminsOnly: [SCRUB_PROPERTY, ...scrubPolicy.deny.map(({ name }) => name)]
  })

/** @throws ConfigInvalid, here and not sooner: only the API needs to know whom to trust */
function identityOf({ IDENTITY, TRUSTED_PROXIES: networks, TRUSTED_HEADERS_SECRET: secret }: Config): Identity {
  if (IDENTITY === 'dev') return devIdentity
  if (!secret && networks.length === 0)
    throw new ConfigInvalid([
      'IDENTITY=trusted-headers needs TRUSTED_PROXIES or TRUSTED_HEADERS_SECRET: anybody could write identity headers'
    ])
  return trustedHeadersIdentity({ networks, ...(secret && { secret }) })
}

const defaultSwiftOf = ({ DEFAULT_SWIFT_URL: url, DEFAULT_SWIFT_AUTH_URL: authUrl }: Config) =>
  url && authUrl ? { defaultSwift: { url, authUrl } } : {}

async function readiness(pool: pg.Pool) {
  try {
    await pool.query('select 1')
    return { ok: true, reasons: [] }
  } catch {
    return { ok: false, reasons: ['the database does not answer'] }
  }
}
