import type pg from 'pg'
import type { ExportOptions } from '../domain/export-options.ts'
import type { ExportResult } from '../domain/task.ts'
import { isCanceled } from '../export/attempt/canceled.ts'
import { LAYOUT_VERSION } from '../export/content-id.ts'
import { EQUAL_SHARES, type Fairness } from '../export/fairness.ts'
import { CancelRequested, type Claim, LeaseLost, type Orders, type TaskStore } from '../export/ports.ts'
import { TEMPURL } from '../export/requests/temp-url-request.ts'
import { settledFile } from '../temp-urls/settled-file.ts'
import { claimTask } from './claim-task.ts'
import { type CancelRow, cancelOf, objectUrlOf, sealedOf, taskOf } from './task-row.ts'
import { ends, keptProgress, millis, toJson, UNCLAIM } from './task-sql.ts'

/** Milliseconds. `keepMs` is how long a task is kept after its end, `tempUrlMs` how long one whose file is downloaded here. */
export type LeaseSettings = {
  readonly leaseMs: number
  readonly keepMs: number
  readonly tempUrlMs: number
  readonly fairness?: Fairness
}

/** In the statement that ends the task: the lock of the image goes over from the task to its URL without a gap. */
const ISSUE_TEMP_URL = `, issued as (
         insert into temp_urls (task_id, owner, image_id, expires_at, bytes, file_name, virtual, sha256, layout_version, ip_range)
         select id, owner, image_id, expires_at, $6::bigint, $7, $8::boolean, $9, $10::integer, $11 from written
       )`

/** In the order of ISSUE_TEMP_URL. */
function fileOf(result: ExportResult): unknown[] {
  const { fileName, virtual, sha256 } = settledFile(result)
  return [result.bytes, fileName, virtual, sha256, LAYOUT_VERSION]
}

type Leases = Pick<
  TaskStore,
  'claimDue' | 'heartbeat' | 'note' | 'startTransfer' | 'settleSuccess' | 'settleFailure' | 'release'
>

type Written = CancelRow & { readonly limits: ExportOptions['limits'] }

/** The statements that run tasks. All but the first are fenced: they change the row of this very lease or none. */
export function taskLeases(pool: pg.Pool, settings: LeaseSettings): Leases {
  const { leaseMs, keepMs, tempUrlMs, fairness = EQUAL_SHARES } = settings
  /** @param guard `unless canceled`: throws CancelRequested instead of letting a canceled task go on */
  const fenced = async (
    claim: Claim,
    set: string,
    values: readonly unknown[],
    guard: 'unless canceled' | '' = '',
    andThen = ''
  ): Promise<Written> => {
    const { rows } = await pool.query<Written>(
      `with written as (
         update tasks set ${set}
          where id = $1 and lease_epoch = $2 and status in ('processing', 'transferring')
            ${guard && 'and cancel_requested_at is null'}
         returning *
       )${andThen}
       select cancel_requested_at, canceled_by, cancel_reason, options->'limits' as limits from written`,
      [claim.task.id, claim.epoch, ...values]
    )
    if (rows[0]) return rows[0]
    if (guard) await assertNotCanceled(pool, claim)
    throw new LeaseLost(`the lease ${claim.epoch} of task ${claim.task.id} is over`)
  }
  const CHANGED = 'updated_at = now()'

  return {
    async claimDue(workerId) {
      const row = await claimTask(pool, workerId, { leaseMs, fairness })
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
        uploadIdentity: row.upload_identity,
        objectUrl: objectUrlOf(row),
        suffix: row.object_suffix,
        sent: row.sent,
        cancel: cancelOf(row)
      }
    },

    async heartbeat(claim, news): Promise<Orders> {
      const held = `lease_until = now() + ${millis('$3')}`
      const row = await (news
        ? fenced(claim, `${held}, ${CHANGED}, progress = $4`, [leaseMs, toJson(news)])
        : fenced(claim, held, [leaseMs]))
      return { cancel: cancelOf(row), bandwidthBps: row.limits.bandwidth_bps }
    },

    async note(claim, { sent, warnings, cleanup, scrubReport, uploadState, uploadIdentity }) {
      const columns = {
        sent,
        warnings,
        cleanup,
        scrub_report: scrubReport,
        upload_state: uploadState,
        upload_identity: uploadIdentity
      }
      const given = Object.entries(columns).filter(([, value]) => value !== undefined)
      const set = given.map(([name], index) => `${name} = $${index + 3}`).join(', ')
      const values = given.map(([, value]) => toJson(value))
      await fenced(claim, `${CHANGED}, ${set}`, values, sent ? 'unless canceled' : '')
    },

    async startTransfer(claim, progress, uploadState, uploadIdentity = null) {
      const set = `${CHANGED}, status = 'transferring', lease_until = now() + ${millis('$3')}, progress = $4,
                   upload_state = $5, upload_identity = $6, message = ''`
      const values = [leaseMs, toJson(progress), toJson(uploadState), uploadIdentity]
      await fenced(claim, set, values, 'unless canceled')
    },

    async settleSuccess(claim, result, progress) {
      const set = `${CHANGED}, status = 'success', message = '', result = $4, progress = coalesce($5, progress), ${ends('$3')}`
      const values = [toJson(result), toJson(progress ?? null)]
      const { request, labels } = claim.task
      if (request.exportTo !== TEMPURL) {
        await fenced(claim, set, [keepFor(labels.keepSeconds, keepMs), ...values], 'unless canceled')
        return
      }
      const { ttl_seconds, ip_range = null } = request.options.tempUrl
      const lifeMs = keepFor(ttl_seconds ?? null, tempUrlMs)
      await fenced(claim, set, [lifeMs, ...values, ...fileOf(result), ip_range], 'unless canceled', ISSUE_TEMP_URL)
    },

    async settleFailure(claim, message, failure) {
      const set = `${CHANGED}, status = 'failure', message = $4, failure = $5, ${ends('$3')}`
      const values = [keepFor(claim.task.labels.keepSeconds, keepMs), message, toJson(failure)]
      await fenced(claim, set, values, isCanceled(failure) ? '' : 'unless canceled')
    },

    // upload_state stays: the next attempt makes sure that nothing was left behind; at the deadline at the latest.
    async release(claim, { delayMs, countAttempt, message, throttled = false }) {
      const set = `${CHANGED}, status = 'queued', progress = ${keptProgress('$6::boolean')}, attempts = attempts - $5,
                   message = case when cancel_requested_at is null then $4 else message end,
                   next_run_at = case when cancel_requested_at is null
                                      then least(now() + ${millis('$3')}, greatest(now(), deadline)) else now() end,
                   ${UNCLAIM}`
      await fenced(claim, set, [delayMs, message, countAttempt ? 0 : 1, throttled])
    }
  }
}

const keepFor = (seconds: number | null, otherwiseMs: number): number =>
  seconds === null ? otherwiseMs : seconds * 1000

async function assertNotCanceled(pool: pg.Pool, { task, epoch }: Claim): Promise<void> {
  const { rows } = await pool.query<CancelRow>(
    `select cancel_requested_at, canceled_by, cancel_reason from tasks
      where id = $1 and lease_epoch = $2 and status in ('processing', 'transferring')`,
    [task.id, epoch]
  )
  const cancel = rows[0] && cancelOf(rows[0])
  if (cancel) throw new CancelRequested(cancel)
}
