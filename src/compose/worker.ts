import { hostname } from 'node:os'
import { diskReaders } from '../disks/registry.ts'
import { Bandwidth } from '../export/attempt/bandwidth.ts'
import { runNextExport } from '../export/attempt/run-export.ts'
import { sweepTasks } from '../export/sweep-tasks.ts'
import { createFormats } from '../formats/registry.ts'
import { tidyDeletedImages } from '../library/tidy-deleted-images.ts'
import { retryRules } from '../pipeline/retries.ts'
import { deletedImages } from '../postgres/deleted-images.ts'
import { startExportWorker } from '../queue/export-worker.ts'
import { sweepTempUrls, tidyKeptFiles } from '../temp-urls/sweep-temp-urls.ts'
import { createOpener } from '../vault/opener.ts'
import type { Foundation, Running } from './foundation.ts'
import { scrubbingOf } from './scrubbing.ts'

/** A worker, answering the doorbell and sweeping. */
export async function startWorker(on: Foundation): Promise<Running> {
  const { config, log, tasks, queue } = on
  const sweep = sweepTasks({ tasks, queue, log })
  const kept = { store: on.tempUrls, files: on.staging, log }
  const scrubbing = scrubbingOf(config, on.editors)
  const folders = await scrubbing.scratch.clear()
  if (folders > 0) log.info({ folders }, 'scratch of dead workers removed')
  return startExportWorker({
    backend: on.backend,
    concurrency: config.WORKER_CONCURRENCY,
    sweepMs: config.SWEEP_SECONDS * 1000,
    log,
    sweep: async () => {
      await sweep()
      await sweepTempUrls(kept)
    },
    tidy: async () => {
      await tidyKeptFiles(kept)
      await tidyDeletedImages({ deleted: deletedImages(on.pool), files: on.files, log })
      const { keys, days } = await tasks.forget()
      if (keys + days > 0) log.info({ keys, days }, 'old idempotency keys and counts for quotas removed')
      const uploads = await on.files.sweep()
      if (uploads > 0) log.info({ uploads }, 'leftovers of dead uploads removed')
    },
    runNext: runNextExport({
      ...on,
      images: on.files,
      readers: diskReaders(),
      limits: { maxVirtualSize: config.MAX_VIRTUAL_BYTES },
      formats: createFormats(),
      engine: on.engine,
      scrubbing,
      retryRules: retryRules(config.DESTINATION_TRIES),
      bandwidth: new Bandwidth(config.WORKER_BANDWIDTH_BYTES),
      opener: createOpener(on.keys),
      times: { leaseMs: config.LEASE_SECONDS * 1000, handOverMs: config.SHUTDOWN_SECONDS * 800 },
      clock: () => performance.now(),
      workerId: `${hostname()}:${process.pid}`
    })
  })
}
