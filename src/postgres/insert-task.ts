import type pg from 'pg'
import { RetryUnderWay } from '../domain/task-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { CreateOutcome, NewTask } from '../export/ports.ts'
import { type TaskRow, taskOf } from './task-row.ts'
import { STORED } from './task-sql.ts'

/** What a new task gets if it asks for nothing else. */
export type TaskDefaults = { readonly maxAttempts: number; readonly deadlineMs: number }

/**
 * Takes the image lock and stores the task: one statement, since a create is little more than its
 * round trips. The image's row is held against deletion until the task's row is there, and from then on by that: the lock
 * waits for a delete that has begun and makes later ones wait, and they look for tasks only after that.
 */
const INSERT = `
with image as (
  select status, disk_format, size, sha512 from images
   where id = $5 and ($6::text is null or owner = $6 or visibility = 'public')
     for share
), inserted as (
  insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, format_options, options,
                     export_id, object_url, credentials_kind, credentials_fingerprint, credentials_key_id,
                     credentials_wrapped_key, credentials_ciphertext, description, tags, metadata, priority,
                     keep_seconds, retry_of, max_attempts, deadline, source)
  select $1::uuid, $2, $3, $4, $5, $7, $8, $9::jsonb, $10::jsonb, $11::uuid, $12, $13, $14, $15, $16::bytea, $17::bytea,
         $18, $19::text[], $20::jsonb, $21, $22::integer, $23::uuid, $24::integer,
         coalesce($25::timestamptz, now() + $26 * interval '1 millisecond'),
         jsonb_build_object('diskFormat', disk_format, 'size', size, 'sha512', sha512)
    from image where status = 'active'
  returning *
)
select image.status as image_status, ${STORED} from image left join inserted as tasks on true`

type Inserted = { readonly image_status: string } & (TaskRow | { readonly id: null })

/** @throws RetryUnderWay */
export async function insertTask(
  client: Pick<pg.PoolClient, 'query'>,
  viewer: Viewer,
  { id, exportId, objectUrl, owner, userId, requestId, request, labels, credentials, retryOf }: NewTask,
  { maxAttempts, deadlineMs }: TaskDefaults
): Promise<CreateOutcome> {
  const inserting = client.query<Inserted>({
    name: 'new task',
    text: INSERT,
    values: [
      id,
      owner,
      userId,
      requestId,
      request.imageId,
      viewer.admin ? null : viewer.owner,
      request.exportTo,
      request.exportFormat,
      JSON.stringify(request.formatOptions),
      JSON.stringify(request.options),
      exportId,
      objectUrl,
      credentials?.kind ?? null,
      credentials?.fingerprint ?? null,
      credentials?.sealed.keyId ?? null,
      credentials?.sealed.wrappedKey ?? null,
      credentials?.sealed.ciphertext ?? null,
      labels.description,
      labels.tags,
      JSON.stringify(labels.metadata),
      labels.priority,
      labels.keepSeconds,
      retryOf ?? null,
      request.options.limits.max_attempts ?? maxAttempts,
      request.options.limits.deadline ?? null,
      deadlineMs
    ]
  })
  const [row] = (await inserting.catch(asRetryUnderWay)).rows
  if (!row) return { status: 'image_not_found' }
  if (row.id === null) return { status: 'image_not_active', imageStatus: row.image_status }
  const task = taskOf(row)
  return { status: 'created', task, bell: { taskId: task.id, epoch: row.lease_epoch } }
}

/** The index allows one retry of a task that has not ended. */
function asRetryUnderWay(error: unknown): never {
  if (Object(error).constraint === 'tasks_retried_now') throw new RetryUnderWay()
  throw error
}
