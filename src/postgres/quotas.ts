import type pg from 'pg'
import type { OwnerId } from '../domain/ids.ts'
import { assertWithin, type Quotas, type Usage } from '../export/quotas.ts'

const DAY = `interval '24 hours'`

export async function usageOf(client: Pick<pg.PoolClient, 'query'>, owner: OwnerId): Promise<Usage> {
  const { rows } = await client.query<{ active: number; bytes: string }>(
    `select (select count(*)::int from tasks
              where owner = $1 and status in ('queued', 'processing', 'transferring')) as active,
            (select coalesce(sum(coalesce((tasks.result->>'bytes')::bigint, day.bytes)), 0)
               from daily_exports as day left join tasks on tasks.id = day.task_id
              where day.owner = $1 and day.created_at > now() - ${DAY}) as bytes`,
    [owner]
  )
  return { activeTasks: rows[0]?.active ?? 0, bytesToday: Number(rows[0]?.bytes ?? 0) }
}

/**
 * Before a task is inserted: lets one create of a project through at a time, so that none is counted too late.
 * @throws QuotaExceeded
 */
export async function admit(client: pg.PoolClient, quotas: Quotas, owner: OwnerId, bytes: number): Promise<void> {
  if (quotas.activeTasks === 0 && quotas.bytesPerDay === 0) return
  await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [JSON.stringify(['quota', owner])])
  // A statement of its own, with a snapshot taken after the lock.
  assertWithin(quotas, await usageOf(client, owner), bytes)
}

/** @returns how many were forgotten */
export async function forgetDays(pool: pg.Pool): Promise<number> {
  const { rowCount } = await pool.query(`delete from daily_exports where created_at < now() - ${DAY}`)
  return rowCount ?? 0
}
