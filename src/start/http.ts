import { layFoundation } from '../compose/foundation.ts'
import { startHttp } from '../compose/http.ts'
import { assertMigrated } from '../postgres/migrate.ts'
import { runService } from './service.ts'

// The API alone: any number of these, behind one address.
await runService({ split: true }, async (config, log, parts) => {
  const databaseUrl = config.DATABASE_URL ?? ''
  await assertMigrated(databaseUrl, { queue: !config.REDIS_URL })
  const { url } = await parts.add(startHttp(await parts.add(layFoundation(config, log, databaseUrl))))
  log.info({ url }, 'listening')
})
