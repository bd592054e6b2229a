import { AHEAD } from './ahead-sql.ts'
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
  credentials_key_id = null, credentials_wrapped_key = null, credentials_ciphertext = null, upload_state = null,
  upload_identity = null, ${UNCLAIM}`

/** Whether an attempt has written down that something stands at the destination. */
const LEAVES_SOMETHING = '(upload_state is not null or sent is not null)'

/** For a task that ends without an attempt that could remove what earlier ones have sent; a value of `cleanup`. */
export const LEFT_BEHIND = `case when ${LEAVES_SOMETHING} then jsonb_build_object(
  'state', 'partial',
  'removed', coalesce(cleanup->'removed', '[]'),
  'left', coalesce(cleanup->'left', '[]') || jsonb_build_array(jsonb_build_object(
    'what', 'what an earlier attempt had sent',
    'why', 'no worker was there to remove it in time'))) else cleanup end`

/** Of an attempt that is over only what the next one goes on from stays: its percentage, and the bytes that were sent twice. */
export const keptProgress = (throttled: string) => `case when (progress->>'percent')::float > 0 or ${throttled}
  then jsonb_strip_nulls(jsonb_build_object(
    'percent', progress->'percent', 'resent', progress->'resent', 'throttled', ${throttled}, 'at', now())) end`

/** A task as it is stored, without a count of those before it. */
export const STORED = TASK_COLUMNS.map((name) => `tasks.${name}`).join(', ')

/** A task as it is shown: with how many queued tasks will be claimed before it, see ahead-sql.ts. */
export const SHOWN = `${STORED},
  case when tasks.status = 'queued' and tasks.cancel_requested_at is null then ${AHEAD} end as ahead`

export const toJson = (value: unknown): string | null => (value === null ? null : JSON.stringify(value))
