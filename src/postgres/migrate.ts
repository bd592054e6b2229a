import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { assertSchemaCompatibility, runMigrations as migrateQueue, SchemaMigrationRequiredError } from 'bullmq'
import pg from 'pg'

const MIGRATIONS = new URL('../../migrations/', import.meta.url)
const TABLE = 'schema_migrations'
const CONNECT_MS = 5_000

/** The database was migrated by a newer release than this one, or not yet by this one. */
export class SchemaMismatch extends Error {
  override readonly name = 'SchemaMismatch'
}

/**
 * Brings the schema up to this release: ours, and that of the queue when it lives in the same database. Safe to call from any
 * number of processes at once: they take turns under an advisory lock, and those that come late find nothing to do.
 * @returns the names of the migrations that were applied now
 * @throws SchemaMismatch before anything is changed
 */
export async function migrate(url: string, { queue }: { readonly queue: boolean }): Promise<string[]> {
  const { runner } = await import('node-pg-migrate') // loaded here, as a worker never migrates
  return withClient(url, async (client) => {
    refuseUnknown((await compare(client)).unknown)
    const applied = await runner({
      dbClient: client,
      dir: fileURLToPath(MIGRATIONS),
      direction: 'up',
      migrationsTable: TABLE,
      advisoryLockMode: 'wait',
      singleTransaction: true,
      log: () => {}
    })
    if (queue) await migrateQueue(client)
    return applied.map(({ name }) => name)
  })
}

/** @throws SchemaMismatch unless the schema is exactly this release's */
export async function assertMigrated(url: string, { queue }: { readonly queue: boolean }): Promise<void> {
  await withClient(url, async (client) => {
    const { unknown, missing } = await compare(client)
    refuseUnknown(unknown)
    const ready = !queue || (await assertSchemaCompatibility(client).then(() => true, isNotMigrated))
    if (missing.length > 0 || !ready)
      throw new SchemaMismatch('The schema of the database is older than this release: run `npm run migrate` first.')
  })
}

const isNotMigrated = (error: unknown): false => {
  if (error instanceof SchemaMigrationRequiredError) return false
  throw error
}

function refuseUnknown(unknown: readonly string[]): void {
  if (unknown.length === 0) return
  throw new SchemaMismatch(
    `The database has migrations that this release does not know: ${unknown.join(', ')}. ` +
      'Start the release that made them, or restore the backup taken before it; schemas are never migrated back.'
  )
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    application_name: 'glance-export migrate'
  })
  client.on('error', () => {}) // who asks is told; without a listener it would end the process
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Our migrations against those of the database, by name. */
async function compare(client: pg.Client): Promise<{ unknown: string[]; missing: string[] }> {
  const known = (await readdir(MIGRATIONS)).map((file) => file.replace(/\.sql$/, ''))
  const { rows: tables } = await client.query<{ exists: boolean }>('select to_regclass($1) is not null as exists', [
    TABLE
  ])
  if (!tables[0]?.exists) return { unknown: [], missing: known }
  const { rows } = await client.query<{ name: string }>(`select name from ${TABLE} order by id`)
  const applied = rows.map(({ name }) => name)
  return {
    unknown: applied.filter((name) => !known.includes(name)),
    missing: known.filter((name) => !applied.includes(name))
  }
}
