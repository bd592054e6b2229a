import { TASK_COLUMNS } from './task-row.ts'

/** Pieces of SQL that several statements about tasks share. */
export const ONGOING = `status in ('queued', 'processing', 'transferring')`
export const UNHELD = '(lease_until is null or lease_until < now())'
export const UNCLAIM = 'lease_until = null, worker = null'

/** Attempts beyond the last that may only remove what the ones before have left at the destination, and for how long. */
export const CLEANING_ATTEMPTS = 2
export const CLEANING_TIME = `interval '10 minutes'`

export const millis = (parameter: string) => `${parameter} * interval '1 millisecond'`

/** What a task gets and loses at its end. What is still at the destination cannot be removed without the credentials. */
export const ends = (lifeMs: string) => `finished_at = now(), expires_at = now() + ${millis(lifeMs)},
  credentials_key_id = null, credentials_wrapped_key = null, credentials_ciphertext = null, upload_state = null, ${UNCLAIM}`

/** Of an attempt that is over only its percentage stays, as the next one does not show less. */
export const keptProgress = (throttled: string) => `case when (progress->>'percent')::float > 0 or ${throttled}
  then jsonb_build_object('percent', progress->'percent', 'throttled', ${throttled}, 'at', now()) end`

const MOST_COUNTED = 1000
/**
 * A task as it is shown: with how many queued tasks will be claimed before it. They are counted in an index, and never more
 * than so many.
 */
export const SHOWN = `${TASK_COLUMNS.map((name) => `tasks.${name}`).join(', ')}, case when tasks.status = 'queued' and tasks.cancel_requested_at is null then (
  select count(*)::int from (
    select from tasks as other
     where other.status = 'queued' and other.next_run_at <= now()
       and (other.rank, other.created_at) < (tasks.rank, tasks.created_at)
     limit ${MOST_COUNTED}) as before) end as ahead`

export const toJson = (value: unknown): string | null => (value === null ? null : JSON.stringify(value))
