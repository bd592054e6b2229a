import type pg from 'pg'
import { diskReaders } from '../disks/registry.ts'
import { createExport } from '../export/create-export.ts'
import { preflightExport } from '../export/preflight-export.ts'
import { getTask } from '../export/read-tasks.ts'
import { createFormats } from '../formats/registry.ts'
import { buildApp } from '../http/app.ts'
import { devIdentity, trustedHeadersIdentity } from '../http/identity.ts'
import { createLibrary } from '../library/library.ts'
import { imageStore } from '../postgres/image-store.ts'
import { OpenFiles } from '../temp-urls/open-files.ts'
import { createTempUrls } from '../temp-urls/temp-urls.ts'
import { derivedKeys } from '../vault/keys.ts'
import { createSealer } from '../vault/sealer.ts'
import type { Foundation, Running } from './foundation.ts'

/** The API, listening. Its `url` is where. */
export async function startHttp(on: Foundation): Promise<Running & { readonly url: string }> {
  const { config, log, pool, files } = on
  const readers = diskReaders()
  const formats = createFormats()
  const disks = { maxVirtualSize: config.MAX_VIRTUAL_BYTES }
  const library = createLibrary({
    store: imageStore(pool, { byTempUrls: config.TEMP_URL_LOCKS_IMAGE }),
    files,
    readers,
    limits: { ...disks, maxImageSize: config.MAX_IMAGE_BYTES }
  })
  const tempUrlMaxSeconds = config.TEMP_URL_MAX_SECONDS
  const source = { images: files, readers, limits: disks }
  const openFiles = new OpenFiles({ ...source, formats, stagedPath: (task) => on.staging.path(task) })
  const publicUrl = () => config.PUBLIC_URL ?? app.listeningOrigin
  const tempUrls = createTempUrls({
    store: on.tempUrls,
    getTask: getTask(on),
    files: openFiles,
    engine: on.engine,
    log,
    deriveKeys: (purpose) => derivedKeys(on.keys, purpose),
    publicUrl,
    ttlSeconds: config.TEMP_URL_SECONDS,
    maxTtlSeconds: tempUrlMaxSeconds,
    maxDownloads: config.TEMP_URL_DOWNLOADS
  })
  const app = buildApp({
    tasks: {
      createExport: createExport({ ...on, formats, tempUrlMaxSeconds, sealer: createSealer(on.keys) }),
      preflightExport: preflightExport({ ...on, ...source, formats, tempUrlMaxSeconds }),
      getTask: getTask(on),
      listTasks: (viewer, query) => on.tasks.list(viewer, query)
    },
    tempUrls,
    images: library,
    health: { ready: () => readiness(pool) },
    identity: config.IDENTITY === 'dev' ? devIdentity : trustedHeadersIdentity,
    publicUrl,
    trustedProxies: config.TRUSTED_PROXIES,
    logger: log,
    formats: [...formats.keys()],
    diskFormats: [...readers.keys()],
    credentialSchemas: on.destinations.credentialSchemas
  })
  const url = await app.listen({ host: config.HOST, port: config.PORT, listenTextResolver: () => 'API bound' })
  return {
    url,
    async close() {
      await app.close()
      await openFiles.close()
    }
  }
}

async function readiness(pool: pg.Pool) {
  try {
    await pool.query('select 1')
    return { ok: true, reasons: [] }
  } catch {
    return { ok: false, reasons: ['the database does not answer'] }
  }
}
