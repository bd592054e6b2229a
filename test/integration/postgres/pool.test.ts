import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { expect, it } from 'vitest'
import { isDatabaseTrouble } from '../../../src/domain/database-trouble.ts'
import { createPool, inTransaction } from '../../../src/postgres/pool.ts'
import { freshDatabase } from '../../support/postgres.ts'

it('a connection that breaks between two statements of a transaction ends that, and not the process', async () => {
  await using database = await freshDatabase()
  const pool = createPool({ url: database.url, max: 1, onError: () => {} })
  const killer = new pg.Client({ connectionString: database.url })
  await killer.connect()

  const broken = inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    await killer.query('select pg_terminate_backend($1)', [rows[0]?.pid])
    await sleep(200) // the end arrives while nothing is asked
    await client.query('select 1')
  })

  await expect(broken).rejects.toSatisfy(isDatabaseTrouble)
  expect(await inTransaction(pool, async (client) => (await client.query('select 1 as one')).rows)).toEqual([
    { one: 1 }
  ])
  await killer.end()
  await pool.end()
})
