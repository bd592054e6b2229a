import type pg from 'pg'
import type { ImageId, TaskId } from '../domain/ids.ts'
import type { Task } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { CreateOutcome, ExportableImage, NewTask, SourceIdentity, TaskStore } from '../export/ports.ts'
import { inTransaction } from './pool.ts'
import { type TaskRow, taskOf } from './task-row.ts'
import { visibleTo } from './visible-tasks.ts'

/** Limits that a new task gets. */
export type TaskLimits = { readonly maxAttempts: number; readonly deadlineMs: number }

type Records = Pick<TaskStore, 'create' | 'get' | 'exportableImage'>

export function taskRecords(pool: pg.Pool, limits: TaskLimits): Records {
  const get = async (viewer: Viewer, id: TaskId): Promise<Task | undefined> => {
    const values: unknown[] = [id]
    const visible = visibleTo(viewer, (value) => `$${values.push(value)}`)
    const { rows } = await pool.query<TaskRow>(`select * from tasks where id = $1 and ${visible}`, values)
    return rows[0] && taskOf(rows[0])
  }

  return {
    get,

    exportableImage: (viewer, id) => findImage(pool, viewer, id),

    create: (task, viewer) =>
      inTransaction(pool, async (client): Promise<CreateOutcome> => {
        const image = await findImage(client, viewer, task.request.imageId, 'for share')
        if (!image) return { status: 'image_not_found' }
        if (!image.source) return { status: 'image_not_active', imageStatus: image.status }
        const row = await insertTask(client, task, image.source, limits)
        return { status: 'created', task: taskOf(row), bell: { taskId: task.id, epoch: row.lease_epoch } }
      })
  }
}

/**
 * The image as the viewer may export it. With `for share` it is held against deletion until the transaction ends, and from
 * then on by the task's row: the lock waits for a delete that has begun and makes later ones wait, and they look for tasks
 * only after that.
 */
async function findImage(
  client: Pick<pg.PoolClient, 'query'>,
  viewer: Viewer,
  id: ImageId,
  lock: 'for share' | '' = ''
): Promise<ExportableImage | undefined> {
  const { rows } = await client.query<{
    status: string
    name: string | null
    disk_format: string
    size: string
    sha512: string
  }>(
    `select status, name, disk_format, size, sha512 from images
      where id = $1 and ($2::text is null or owner = $2 or visibility = 'public')
        ${lock}`,
    [id, viewer.admin ? null : viewer.owner]
  )
  const image = rows[0]
  if (!image) return undefined
  const { status, name } = image
  if (status !== 'active') return { status, name, source: undefined }
  return { status, name, source: { diskFormat: image.disk_format, size: Number(image.size), sha512: image.sha512 } }
}

async function insertTask(
  client: pg.PoolClient,
  { id, exportId, objectUrl, owner, userId, requestId, request, credentials }: NewTask,
  source: SourceIdentity,
  limits: TaskLimits
): Promise<TaskRow> {
  const { rows } = await client.query<TaskRow>(
    `insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, format_options,
                        options, export_id, source, object_url,
                        credentials_kind, credentials_fingerprint,
                        credentials_key_id, credentials_wrapped_key, credentials_ciphertext,
                        max_attempts, deadline)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
             now() + $19 * interval '1 millisecond')
     returning *`,
    [
      id,
      owner,
      userId,
      requestId,
      request.imageId,
      request.exportTo,
      request.exportFormat,
      JSON.stringify(request.formatOptions),
      JSON.stringify(request.options),
      exportId,
      JSON.stringify(source),
      objectUrl,
      credentials?.kind ?? null,
      credentials?.fingerprint ?? null,
      credentials?.sealed.keyId ?? null,
      credentials?.sealed.wrappedKey ?? null,
      credentials?.sealed.ciphertext ?? null,
      limits.maxAttempts,
      limits.deadlineMs
    ]
  )
  const [row] = rows
  if (!row) throw new Error('an insert returned no row')
  return row
}
