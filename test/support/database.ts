import type pg from 'pg'
import { migrate } from '../../src/postgres/migrate.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { freshDatabase } from './postgres.ts'

/** A new database with the schema of this release, and a pool on it. */
export async function migratedDatabase(): Promise<{ url: string; pool: pg.Pool; close(): Promise<void> }> {
  const database = await freshDatabase()
  await migrate(database.url, { queue: true })
  const pool = createPool({ url: database.url, max: 20, onError: () => {} })
  return {
    url: database.url,
    pool,
    async close() {
      await pool.end()
      await database.drop()
    }
  }
}
