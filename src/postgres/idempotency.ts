import { timingSafeEqual } from 'node:crypto'
import type pg from 'pg'
import type { OwnerId, TaskId } from '../domain/ids.ts'
import { IdempotencyKeyBusy, IdempotencyKeyReused, IdempotencyTaskExpired } from '../domain/request-errors.ts'
import type { Task } from '../domain/task.ts'
import type { Once } from '../export/once.ts'
import { type TaskRow, taskOf } from './task-row.ts'
import { SHOWN } from './task-sql.ts'

const KEPT = `interval '24 hours'`
const FRESH = '(tasks.expires_at is null or tasks.expires_at > now())'

/**
 * The task that an earlier request with this key has created.
 * @throws IdempotencyKeyReused, IdempotencyTaskExpired
 */
export async function createdBefore(
  client: Pick<pg.PoolClient, 'query'>,
  owner: OwnerId,
  { operation, key, prints }: Once
): Promise<Task | undefined> {
  const { rows } = await client.query<TaskRow & { readonly print: Buffer; readonly known: boolean }>(
    `select ${SHOWN}, keys.print, tasks.id is not null as known
       from idempotency_keys as keys left join tasks on tasks.id = keys.task_id and ${FRESH}
      where keys.owner = $1 and operation = $2 and key = $3
        and (keys.created_at > now() - ${KEPT} or tasks.id is not null)`,
    [owner, operation, key]
  )
  const [row] = rows
  if (!row) return undefined
  if (!prints.some((print) => timingSafeEqual(print, row.print))) throw new IdempotencyKeyReused()
  if (!row.known) throw new IdempotencyTaskExpired()
  return taskOf(row)
}

/**
 * Holds the key until the transaction ends, in all processes.
 * @throws IdempotencyKeyBusy when another holds it
 */
export async function holdKey(client: pg.PoolClient, owner: OwnerId, { operation, key }: Once): Promise<void> {
  const { rows } = await client.query<{ held: boolean }>(
    'select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as held',
    [JSON.stringify(['once', owner, operation, key])]
  )
  if (!rows[0]?.held) throw new IdempotencyKeyBusy()
}

/** Writes down what the key has created. One that is over is written over; another that is not cannot be there: it is held. */
export async function rememberKey(
  client: pg.PoolClient,
  owner: OwnerId,
  { operation, key, prints }: Once,
  task: TaskId
): Promise<void> {
  await client.query(
    `insert into idempotency_keys (owner, operation, key, print, task_id) values ($1, $2, $3, $4, $5)
     on conflict (owner, operation, key)
     do update set print = excluded.print, task_id = excluded.task_id, created_at = now()`,
    [owner, operation, key, prints[0], task]
  )
}

/** Keys are kept for a day, or as long as their task. @returns how many were forgotten */
export async function forgetKeys(pool: pg.Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from idempotency_keys as keys
      where created_at < now() - ${KEPT}
        and not exists (select from tasks where tasks.id = keys.task_id and ${FRESH})`
  )
  return rowCount ?? 0
}
