import { migrate } from '../postgres/migrate.ts'
import { runOnce } from './service.ts'

// Brings the schema up to this release, then ends.
await runOnce({ split: true }, async (config, log) => {
  const applied = await migrate(config.DATABASE_URL ?? '', { queue: !config.REDIS_URL })
  log.info({ applied }, 'schema is up to date')
})
