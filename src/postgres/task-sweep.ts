import type pg from 'pg'
import { type TaskId, taskId } from '../domain/ids.ts'
import { EQUAL_SHARES, type Fairness } from '../export/fairness.ts'
import type { Bell, TaskStore } from '../export/ports.ts'
import { forgetIdleProjects } from './forget-projects.ts'
import { inTransaction } from './pool.ts'
import { endCanceled } from './task-cancel.ts'
import type { TaskRow } from './task-row.ts'
import { CLEANING_ATTEMPTS, CLEANING_TIME, ends, LEFT_BEHIND, ONGOING, UNHELD } from './task-sql.ts'
import { DUE, full, HOST } from './turn-sql.ts'

type SweepSettings = { readonly keepMs: number; readonly fairness?: Fairness }

/**
 * Rows that one statement changes at most: a sweep that ran into its time limit would find as many the next time, and nothing
 * that is due for ever.
 */
const MOST_AT_ONCE = 500

/** Ends what no attempt will end, forgets what has expired, finds what is due. */
export function taskSweep(pool: pg.Pool, { keepMs, fairness = EQUAL_SHARES }: SweepSettings): Pick<TaskStore, 'sweep'> {
  return {
    async sweep() {
      const failed = [...(await endAbandonedCancels(pool, keepMs)), ...(await failAbandoned(pool, keepMs))]
      const expired = await removeExpired(pool)
      await forgetIdleProjects(pool)
      return { due: await dueTasks(pool, fairness), failed, expired }
    }
  }
}

/**
 * Canceled, and nobody left to remove what attempts have left. Any attempt may have left what it could not write down: its worker
 * died, or what it began was answered to nobody.
 */
const endAbandonedCancels = (pool: pg.Pool, keepMs: number): Promise<TaskId[]> =>
  inTransaction(pool, async (client) => {
    const { rows } = await client.query<TaskRow>(
      `select * from tasks
        where cancel_requested_at is not null and ${ONGOING} and ${UNHELD}
          and (attempts >= max_attempts + $1 or now() >= deadline + ${CLEANING_TIME})
        limit ${MOST_AT_ONCE}
          for update skip locked`,
      [CLEANING_ATTEMPTS]
    )
    for (const row of rows) await endCanceled(client, row, keepMs)
    return rows.map(({ id }) => taskId(id))
  })

/** Past the deadline or the last attempt, and never begun, or nobody left to remove what was; see endAbandonedCancels. */
async function failAbandoned(pool: pg.Pool, keepMs: number): Promise<TaskId[]> {
  const { rows } = await pool.query<{ id: string }>(
    `update tasks
        set status = 'failure', updated_at = now(), ${ends('coalesce(keep_seconds * 1000.0, $1)')},
            cleanup = ${LEFT_BEHIND},
            message = case when now() >= deadline
                           then 'The export did not end before its deadline and was stopped.'
                           else 'Every attempt ended with the loss of its worker.' end,
            failure = jsonb_build_object(
              'code', case when now() >= deadline then 'DEADLINE_EXCEEDED' else 'WORKER_LOST' end,
              'actor', 'operator', 'retriable', true, 'phase', status, 'attempts', attempts)
      where id = any(array(
        select id from tasks
         where ${ONGOING} and ${UNHELD} and cancel_requested_at is null
           and (now() >= deadline or attempts >= max_attempts)
           and (lease_epoch = 0 or now() >= deadline + ${CLEANING_TIME} or attempts >= max_attempts + $2)
           and not (status = 'queued' and now() < deadline)
         limit ${MOST_AT_ONCE}
           for update skip locked))
     returning id`,
    [keepMs, CLEANING_ATTEMPTS]
  )
  return rows.map(({ id }) => taskId(id))
}

async function removeExpired(pool: pg.Pool): Promise<TaskId[]> {
  const { rows } = await pool.query<{ id: string }>(
    `delete from tasks
      where id = any(array(
        select id from tasks where expires_at < now() order by expires_at limit ${MOST_AT_ONCE} for update skip locked))
     returning id`
  )
  return rows.map(({ id }) => taskId(id))
}

/** What its limits hold back is left out: a ring for it would find nothing. */
async function dueTasks(pool: pg.Pool, { hostConcurrency, projectConcurrency }: Fairness): Promise<Bell[]> {
  const { rows } = await pool.query<{ id: string; lease_epoch: number }>(
    `with ${full('$1', '$2')}
     select id, lease_epoch from tasks
      where ${DUE} and ${HOST} not in (select host from full_hosts) and owner not in (select owner from full_projects)
      order by rank, created_at
      limit ${MOST_AT_ONCE}`,
    [hostConcurrency, projectConcurrency]
  )
  return rows.map((row) => ({ taskId: taskId(row.id), epoch: row.lease_epoch }))
}
