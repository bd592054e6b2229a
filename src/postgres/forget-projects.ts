import type pg from 'pg'
import { inTransaction } from './pool.ts'
import { ONGOING } from './task-sql.ts'

const IDLE = `not exists (select from tasks where tasks.owner = project_shares.owner and ${ONGOING})`

/** Forgets what projects have used that have nothing to do and would start where the others are anyhow. */
export const forgetIdleProjects = (pool: pg.Pool): Promise<void> =>
  inTransaction(pool, async (client) => {
    // Whoever creates a task holds the row by then. Tasks of those who did before it was ours are seen by the next statement.
    const { rows } = await client.query<{ owner: string }>(
      `select owner from project_shares
        where used <= (select used from share_clock) and ${IDLE}
        limit 500
          for update skip locked`
    )
    if (rows.length === 0) return
    const owners = rows.map(({ owner }) => owner)
    await client.query(`delete from project_shares where owner = any($1) and ${IDLE}`, [owners])
  })
