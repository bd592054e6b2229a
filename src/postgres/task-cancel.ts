import type pg from 'pg'
import { taskId } from '../domain/ids.ts'
import { isTerminal } from '../domain/task.ts'
import { CANCELING, canceledEnding } from '../export/attempt/canceled.ts'
import type { TaskStore } from '../export/ports.ts'
import { inTransaction } from './pool.ts'
import { cancelOf, type TaskRow, taskOf } from './task-row.ts'
import { ends, LEFT_BEHIND, toJson } from './task-sql.ts'
import { lockTask } from './visible-tasks.ts'

/** Cancels under the lock of the row, so that it and an attempt's step to its commit come one after the other. */
export function taskCancel(pool: pg.Pool, { keepMs }: { readonly keepMs: number }): Pick<TaskStore, 'cancel'> {
  return {
    cancel: (viewer, id, reason) =>
      inTransaction(pool, async (client) => {
        const row = await lockTask(client, viewer, id)
        if (!row) return { status: 'not_found' }
        if (row.cancel_requested_at) return { status: 'accepted', task: taskOf(row) }
        if (isTerminal(row.status)) return { status: 'finished' }
        const waits = row.status === 'queued'
        if (!waits && row.sent) return { status: 'committed' }

        const by = row.owner === viewer.owner ? 'user' : 'operator'
        const canceled = await requestCancel(client, id, by, reason)
        if (!waits) return { status: 'accepted', task: taskOf(canceled) }
        if (row.lease_epoch === 0) {
          return { status: 'accepted', task: taskOf(await endCanceled(client, canceled, keepMs)) }
        }
        // What earlier attempts have left, written down or not, is removed by one more.
        return { status: 'accepted', task: taskOf(canceled), bell: { taskId: taskId(id), epoch: row.lease_epoch } }
      })
  }
}

const requestCancel = (client: pg.PoolClient, id: string, by: string, reason: string | null): Promise<TaskRow> =>
  one(
    client,
    `update tasks
        set updated_at = now(), cancel_requested_at = now(), canceled_by = $2, cancel_reason = $3, message = $4,
            next_run_at = least(next_run_at, now())
      where id = $1
     returning *`,
    [id, by, reason, CANCELING]
  )

/** Ends a canceled task whose row the transaction holds. */
export async function endCanceled(client: pg.PoolClient, row: TaskRow, keepMs: number): Promise<TaskRow> {
  const cancel = cancelOf(row)
  if (!cancel) throw new Error(`task ${row.id} was not canceled`)
  const {
    rows: [found]
  } = await client.query<Pick<TaskRow, 'cleanup'>>(`select ${LEFT_BEHIND} as cleanup from tasks where id = $1`, [
    row.id
  ])
  const cleanup = found?.cleanup ?? null
  const { message, failure } = canceledEnding(cancel, { phase: row.status, attempts: row.attempts }, cleanup)
  return one(
    client,
    `update tasks
        set status = 'failure', updated_at = now(), message = $3, failure = $4, cleanup = $5,
            ${ends('coalesce(keep_seconds * 1000.0, $2)')}
      where id = $1
     returning *`,
    [row.id, keepMs, message, toJson(failure), toJson(cleanup)]
  )
}

async function one(client: pg.PoolClient, statement: string, values: readonly unknown[]): Promise<TaskRow> {
  const { rows } = await client.query<TaskRow>(statement, [...values])
  if (!rows[0]) throw new Error('a row that is held has gone')
  return rows[0]
}
