import type pg from 'pg'
import type { OwnerId } from '../domain/ids.ts'
import { assertWithin, type Quotas, type Usage } from '../export/quotas.ts'

const DAY = `interval '24 hours'`

export async function usageOf(client: Pick<pg.PoolClient, 'query'>, owner: OwnerId): Promise<Usage> {
  const { rows } = await client.query<{ active: number; bytes: string }>(
    `select (select count(*)::int from tasks
              where owner = $1 and status in ('queued', 'processing', 'transferring')) as active,
            (select coalesce(sum(export_bytes(tasks)), 0) from tasks where owner = $1 and created_at > now() - ${DAY})
            + (select coalesce(sum(bytes), 0) from removed_exports
                where owner = $1 and created_at > now() - ${DAY}) as bytes`,
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
  const { rowCount } = await pool.query(`delete from removed_exports where created_at < now() - ${DAY}`)
  return rowCount ?? 0
}
