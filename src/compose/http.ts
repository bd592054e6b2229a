import type pg from 'pg'
import { diskReaders } from '../disks/registry.ts'
import { createExport } from '../export/create-export.ts'
import { getTask } from '../export/read-tasks.ts'
import { createFormats } from '../formats/registry.ts'
import { buildApp } from '../http/app.ts'
import { devIdentity, trustedHeadersIdentity } from '../http/identity.ts'
import { createLibrary } from '../library/library.ts'
import { imageStore } from '../postgres/image-store.ts'
import type { Foundation, Running } from './foundation.ts'

/** The API, listening. Its `url` is where. */
export async function startHttp(on: Foundation): Promise<Running & { readonly url: string }> {
  const { config, log, pool, files } = on
  const readers = diskReaders()
  const formats = createFormats()
  const library = createLibrary({
    store: imageStore(pool),
    files,
    readers,
    limits: { maxVirtualSize: config.MAX_VIRTUAL_BYTES, maxImageSize: config.MAX_IMAGE_BYTES }
  })
  const app = buildApp({
    tasks: {
      createExport: createExport({ ...on, formats }),
      getTask: getTask(on),
      listTasks: (viewer, query) => on.tasks.list(viewer, query)
    },
    images: library,
    health: { ready: () => readiness(pool) },
    identity: config.IDENTITY === 'dev' ? devIdentity : trustedHeadersIdentity,
    publicUrl: () => config.PUBLIC_URL ?? app.listeningOrigin,
    logger: log,
    formats: [...formats.keys()],
    diskFormats: [...readers.keys()],
    credentialSchemas: on.destinations.credentialSchemas
  })
  const url = await app.listen({ host: config.HOST, port: config.PORT, listenTextResolver: () => 'API bound' })
  return { url, close: () => app.close() }
}

async function readiness(pool: pg.Pool) {
  try {
    await pool.query('select 1')
    return { ok: true, reasons: [] }
  } catch {
    return { ok: false, reasons: ['the database does not answer'] }
  }
}
