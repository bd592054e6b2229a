import { layFoundation } from '../compose/foundation.ts'
import { startWorker } from '../compose/worker.ts'
import { assertMigrated } from '../postgres/migrate.ts'
import { runService } from './service.ts'

// A worker alone: any number of these, best near the cloud's edge.
await runService({ split: true }, async (config, log, parts) => {
  const databaseUrl = config.DATABASE_URL ?? ''
  await assertMigrated(databaseUrl, { queue: !config.REDIS_URL })
  await parts.add(startWorker(await parts.add(layFoundation(config, log, databaseUrl))))
  log.info({ concurrency: config.WORKER_CONCURRENCY }, 'working')
})
