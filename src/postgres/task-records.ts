import type pg from 'pg'
import { MarkerNotFound } from '../domain/errors.ts'
import type { TaskId } from '../domain/ids.ts'
import type { Task } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { CreateOutcome, NewTask, SourceIdentity, TaskQuery, TaskStore } from '../export/ports.ts'
import { inTransaction } from './pool.ts'
import { type TaskRow, taskOf } from './task-row.ts'

/** Limits that a new task gets. */
export type TaskLimits = { readonly maxAttempts: number; readonly deadlineMs: number }

/** What the caller may see: the own project's tasks, all of them for an admin, and none that has expired. */
const VISIBLE = `($1::text is null or owner = $1) and (expires_at is null or expires_at > now())`
const ownerFilter = (viewer: Viewer): string | null => (viewer.admin ? null : viewer.owner)

/** What a sort key compares. Ties are broken by age and id, as Glance does; its `id` has always sorted by age. */
const SORT_EXPRESSION: Readonly<Record<TaskQuery['sortKey'], string>> = {
  created_at: 'created_at',
  updated_at: 'updated_at',
  expires_at: `coalesce(expires_at, 'infinity')`,
  status: 'status',
  type: 'created_at', // there is one type
  id: 'created_at'
}

type Records = Pick<TaskStore, 'create' | 'get' | 'list'>

export function taskRecords(pool: pg.Pool, limits: TaskLimits): Records {
  const get = async (viewer: Viewer, id: TaskId): Promise<Task | undefined> => {
    const { rows } = await pool.query<TaskRow>(`select * from tasks where ${VISIBLE} and id = $2`, [
      ownerFilter(viewer),
      id
    ])
    return rows[0] && taskOf(rows[0])
  }

  return {
    get,

    create: (task, viewer) =>
      inTransaction(pool, async (client): Promise<CreateOutcome> => {
        const image = await lockImage(client, task, viewer)
        if (!image) return { status: 'image_not_found' }
        if (!image.source) return { status: 'image_not_active', imageStatus: image.status }
        const row = await insertTask(client, task, image.source, limits)
        return { status: 'created', task: taskOf(row), bell: { taskId: task.id, epoch: row.lease_epoch } }
      }),

    async list(viewer, query) {
      if (query.marker && !(await get(viewer, query.marker))) throw new MarkerNotFound(query.marker)
      const [order, below] = query.sortDir === 'desc' ? ['desc', '<'] : ['asc', '>']
      const key = SORT_EXPRESSION[query.sortKey]
      const { rows } = await pool.query<TaskRow>(
        `select * from tasks
          where ${VISIBLE}
            and ($2::text[] is null or status = any ($2))
            and ($3::uuid is null or image_id = $3)
            and ($4::uuid is null
                 or (${key}, created_at, id) ${below} (select ${key}, created_at, id from tasks where id = $4))
          order by ${key} ${order}, created_at ${order}, id ${order}
          limit $5`,
        [ownerFilter(viewer), query.statuses ?? null, query.imageId ?? null, query.marker ?? null, query.limit]
      )
      return rows.map(taskOf)
    }
  }
}

/**
 * The image, held against deletion until the transaction ends; from then on the task's row holds it. `for share` waits for a
 * delete that has begun and makes later ones wait, and they look for tasks only after that.
 */
async function lockImage(
  client: pg.PoolClient,
  { request }: NewTask,
  viewer: Viewer
): Promise<{ readonly status: string; readonly source: SourceIdentity | undefined } | undefined> {
  const { rows } = await client.query<{ status: string; disk_format: string; size: string; sha512: string }>(
    `select status, disk_format, size, sha512 from images
      where id = $1 and ($2::text is null or owner = $2 or visibility = 'public')
        for share`,
    [request.imageId, ownerFilter(viewer)]
  )
  const image = rows[0]
  if (!image) return undefined
  if (image.status !== 'active') return { status: image.status, source: undefined }
  return {
    status: image.status,
    source: { diskFormat: image.disk_format, size: Number(image.size), sha512: image.sha512 }
  }
}

async function insertTask(
  client: pg.PoolClient,
  { id, exportId, owner, userId, requestId, request, credentials }: NewTask,
  source: SourceIdentity,
  limits: TaskLimits
): Promise<TaskRow> {
  const { rows } = await client.query<TaskRow>(
    `insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, format_options,
                        export_id, source,
                        credentials_kind, credentials_key_id, credentials_wrapped_key, credentials_ciphertext,
                        max_attempts, deadline)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, now() + $16 * interval '1 millisecond')
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
      exportId,
      JSON.stringify(source),
      credentials?.kind ?? null,
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
