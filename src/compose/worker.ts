import { hostname } from 'node:os'
import { diskReaders } from '../disks/registry.ts'
import { Bandwidth } from '../export/bandwidth.ts'
import { runNextExport } from '../export/run-export.ts'
import { sweepTasks } from '../export/sweep-tasks.ts'
import { createFormats } from '../formats/registry.ts'
import { retryRules } from '../pipeline/retries.ts'
import { startExportWorker } from '../queue/export-worker.ts'
import { sweepTempUrls, tidyKeptFiles } from '../temp-urls/sweep-temp-urls.ts'
import { createOpener } from '../vault/opener.ts'
import type { Foundation, Running } from './foundation.ts'

/** A worker, answering the doorbell and sweeping. */
export function startWorker(on: Foundation): Promise<Running> {
  const { config, log, tasks, queue } = on
  const sweep = sweepTasks({ tasks, queue, log })
  const kept = { store: on.tempUrls, files: on.staging, log }
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
      await tasks.forget()
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
      retryRules: retryRules(config.DESTINATION_TRIES),
      bandwidth: new Bandwidth(config.WORKER_BANDWIDTH_BYTES),
      opener: createOpener(on.keys),
      times: { leaseMs: config.LEASE_SECONDS * 1000 },
      clock: () => performance.now(),
      workerId: `${hostname()}:${process.pid}`
    })
  })
}
