import type pg from 'pg'
import { taskId } from '../domain/ids.ts'
import type { ExportResult } from '../domain/task.ts'
import { LAYOUT_VERSION } from '../export/content-id.ts'
import { type Bell, type Claim, LeaseLost, type TaskStore } from '../export/ports.ts'
import { TEMPURL } from '../export/temp-url-request.ts'
import { settledFile } from '../temp-urls/settled-file.ts'
import { objectUrlOf, sealedOf, type TaskRow, taskOf } from './task-row.ts'

/** Milliseconds. `keepMs` is how long a task is kept after its end, `tempUrlMs` how long one whose file is downloaded here. */
export type LeaseSettings = { readonly leaseMs: number; readonly keepMs: number; readonly tempUrlMs: number }

const ONGOING = `status in ('queued', 'processing', 'transferring')`
const UNHELD = `(lease_until is null or lease_until < now())`
/** Attempts beyond the last that may only remove what the ones before have left at the destination. */
const CLEANING_ATTEMPTS = 2
const CLEANING_TIME = `interval '10 minutes'`
const millis = (parameter: string) => `${parameter} * interval '1 millisecond'`
const UNCLAIM = 'lease_until = null, worker = null'
/** What a task loses at its end; what was left at the destination could not be removed without the credentials. */
const FORGET = `credentials_key_id = null, credentials_wrapped_key = null, credentials_ciphertext = null,
                upload_state = null`

/** In the statement that ends the task: the lock of the image goes over from the task to its URL without a gap. */
const ISSUE_TEMP_URL = `, issued as (
         insert into temp_urls (task_id, owner, image_id, expires_at, bytes, file_name, virtual, sha256, layout_version, ip_range)
         select id, owner, image_id, expires_at, $5::bigint, $6, $7::boolean, $8, $9::integer, $10 from written
       )`

/** In the order of ISSUE_TEMP_URL. */
function fileOf(result: ExportResult): unknown[] {
  const { fileName, virtual, sha256 } = settledFile(result)
  return [result.bytes, fileName, virtual, sha256, LAYOUT_VERSION]
}

type Leases = Pick<
  TaskStore,
  'claimDue' | 'heartbeat' | 'note' | 'startTransfer' | 'settleSuccess' | 'settleFailure' | 'release' | 'sweep'
>

/** The statements that run tasks. All but the first and the last are fenced: they change the row of this very lease or none. */
export function taskLeases(pool: pg.Pool, { leaseMs, keepMs, tempUrlMs }: LeaseSettings): Leases {
  const fenced = async (
    { task, epoch }: Claim,
    set: string,
    values: readonly unknown[],
    andThen = ''
  ): Promise<void> => {
    const { rowCount } = await pool.query(
      `with written as (
         update tasks set updated_at = now(), ${set}
          where id = $1 and lease_epoch = $2 and status in ('processing', 'transferring')
         returning *
       )${andThen}
       select from written`,
      [task.id, epoch, ...values]
    )
    if (rowCount !== 1) throw new LeaseLost(`the lease ${epoch} of task ${task.id} is over`)
  }
  const ends = `finished_at = now(), expires_at = now() + ${millis('$3')}, ${FORGET}, ${UNCLAIM}`

  return {
    async claimDue(workerId) {
      type ClaimRow = TaskRow & { readonly late: boolean; readonly ms_left: string }
      const { rows } = await pool.query<ClaimRow>(
        `with next as (
           select id from tasks
            where ${ONGOING} and ${UNHELD} and next_run_at <= now()
              and attempts < max_attempts + $3 and now() < deadline + ${CLEANING_TIME}
            order by next_run_at, created_at
            limit 1
              for update skip locked
         )
         update tasks
            set status = 'processing', lease_epoch = lease_epoch + 1, attempts = attempts + 1, worker = $1,
                lease_until = now() + ${millis('$2')}, started_at = coalesce(started_at, now()), updated_at = now(),
                progress = null
           from next
          where tasks.id = next.id
         returning tasks.*, now() >= deadline as late, extract(epoch from deadline - now()) * 1000 as ms_left`,
        [workerId, leaseMs, CLEANING_ATTEMPTS]
      )
      const [row] = rows
      if (!row) return undefined
      return {
        task: taskOf(row),
        epoch: row.lease_epoch,
        spent: row.late ? 'deadline' : row.attempts > row.max_attempts ? 'attempts' : null,
        maxAttempts: row.max_attempts,
        msLeft: Number(row.ms_left),
        source: row.source,
        sealed: sealedOf(row),
        uploadState: row.upload_state,
        objectUrl: objectUrlOf(row),
        suffix: row.object_suffix,
        sent: row.sent
      }
    },

    heartbeat: (claim, progress) =>
      fenced(claim, `lease_until = now() + ${millis('$3')}, progress = $4`, [leaseMs, toJson(progress)]),

    note: (claim, { suffix, sent, warnings, cleanup }) => {
      const columns = { object_suffix: suffix, sent, warnings, cleanup }
      const given = Object.entries(columns).filter(([, value]) => value !== undefined)
      const set = given.map(([name], index) => `${name} = $${index + 3}`).join(', ')
      return fenced(
        claim,
        set,
        given.map(([, value]) => toJson(value))
      )
    },

    startTransfer: (claim, progress, uploadState) =>
      fenced(
        claim,
        `status = 'transferring', lease_until = now() + ${millis('$3')}, progress = $4, upload_state = $5, message = ''`,
        [leaseMs, toJson(progress), toJson(uploadState)]
      ),

    async settleSuccess(claim, result) {
      const succeeds = `status = 'success', message = '', result = $4, ${ends}`
      if (claim.task.request.exportTo !== TEMPURL) return fenced(claim, succeeds, [keepMs, toJson(result)])
      const { ttl_seconds, ip_range = null } = claim.task.request.options.tempUrl
      const lifeMs = ttl_seconds === undefined ? tempUrlMs : ttl_seconds * 1000
      const given = [...fileOf(result), ip_range]
      return fenced(claim, succeeds, [lifeMs, toJson(result), ...given], ISSUE_TEMP_URL)
    },

    settleFailure: (claim, message, failure) =>
      fenced(claim, `status = 'failure', message = $4, failure = $5, ${ends}`, [keepMs, message, toJson(failure)]),

    // upload_state stays: the next attempt makes sure that nothing was left behind.
    release: (claim, { delayMs, countAttempt, message }) =>
      fenced(
        claim,
        `status = 'queued', progress = null, message = $4, attempts = attempts - $5,
         next_run_at = now() + ${millis('$3')}, ${UNCLAIM}`,
        [delayMs, message, countAttempt ? 0 : 1]
      ),

    async sweep() {
      const failed = await failAbandoned(pool, keepMs)
      const expired = await pool.query<{ id: string }>('delete from tasks where expires_at < now() returning id')
      return { due: await dueTasks(pool), failed, expired: expired.rows.map(({ id }) => taskId(id)) }
    }
  }
}

/** Ends what no attempt will: past the deadline or the last attempt, and nothing left to remove, or nobody left to do it. */
async function failAbandoned(pool: pg.Pool, keepMs: number) {
  const { rows } = await pool.query<{ id: string }>(
    `update tasks
        set status = 'failure', updated_at = now(), finished_at = now(), expires_at = now() + ${millis('$1')},
            message = case when now() >= deadline
                           then 'The export did not end before its deadline and was stopped.'
                           else 'Every attempt ended with the loss of its worker.' end,
            failure = jsonb_build_object(
              'code', case when now() >= deadline then 'DEADLINE_EXCEEDED' else 'WORKER_LOST' end,
              'actor', 'operator', 'retriable', true, 'phase', status, 'attempts', attempts),
            ${FORGET}, ${UNCLAIM}
      where ${ONGOING} and ${UNHELD}
        and (now() >= deadline or attempts >= max_attempts)
        and (upload_state is null or now() >= deadline + ${CLEANING_TIME} or attempts >= max_attempts + $2)
        and not (status = 'queued' and now() < deadline)
     returning id`,
    [keepMs, CLEANING_ATTEMPTS]
  )
  return rows.map(({ id }) => taskId(id))
}

async function dueTasks(pool: pg.Pool): Promise<Bell[]> {
  const { rows } = await pool.query<{ id: string; lease_epoch: number }>(
    `select id, lease_epoch from tasks
      where ${ONGOING} and ${UNHELD} and next_run_at <= now()
      order by next_run_at, created_at
      limit 500`
  )
  return rows.map((row) => ({ taskId: taskId(row.id), epoch: row.lease_epoch }))
}

const toJson = (value: unknown): string | null => (value === null ? null : JSON.stringify(value))
