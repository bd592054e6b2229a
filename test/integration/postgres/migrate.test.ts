import pg from 'pg'
import { expect, it } from 'vitest'
import { migrate } from '../../../src/postgres/migrate.ts'
import { freshDatabase } from '../../support/postgres.ts'

const tables = async (url: string): Promise<string[]> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query(`select tablename from pg_tables where schemaname = 'public' order by 1`)
    return rows.map((row) => row.tablename)
  } finally {
    await client.end()
  }
}

it('makes the schema once, however many processes start at the same time', async () => {
  await using database = await freshDatabase()

  const applied = await Promise.all(Array.from({ length: 5 }, () => migrate(database.url, { queue: true })))

  expect(applied.filter((names) => names.length > 0)).toHaveLength(1)
  expect(await tables(database.url)).toEqual(expect.arrayContaining(['images', 'schema_migrations', 'tasks']))
  expect(await migrate(database.url, { queue: true })).toEqual([])
})

it('refuses a schema of a newer release and says what to do, changing nothing', async () => {
  await using database = await freshDatabase()
  await migrate(database.url, { queue: false })
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query(`insert into schema_migrations (name, run_on) values ('9999_of_the_future', now())`)
  await client.end()

  await expect(migrate(database.url, { queue: false })).rejects.toThrow(/9999_of_the_future.*Start the release/)
})
