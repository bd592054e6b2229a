import { layFoundation, type Running } from '../compose/foundation.ts'
import { startHttp } from '../compose/http.ts'
import { startWorker } from '../compose/worker.ts'
import { startEmbeddedPostgres } from '../embedded/postgres.ts'
import { migrate } from '../postgres/migrate.ts'
import { runService } from './service.ts'

// API and worker in one process, with an own PostgreSQL unless DATABASE_URL names one.
await runService({ split: false }, async (config, log, parts) => {
  const databaseUrl = config.DATABASE_URL ?? (await parts.add(embedded())).url
  await migrate(databaseUrl, { queue: !config.REDIS_URL })
  const foundation = await parts.add(layFoundation(config, log, databaseUrl))
  await parts.add(startWorker(foundation))
  const { url } = await parts.addBeside(startHttp(foundation))
  if (config.IDENTITY === 'dev')
    log.warn({}, 'IDENTITY=dev: every token is believed, so anybody who reaches this port can be anybody')
  log.info({ url }, 'listening')

  async function embedded(): Promise<Running & { url: string }> {
    const server = await startEmbeddedPostgres({
      dataDir: config.DATA_DIR,
      log,
      onExit: (err) => {
        throw err // nothing can be done without the database: the process ends and says why
      }
    })
    return { url: server.url, close: server.stop }
  }
})
