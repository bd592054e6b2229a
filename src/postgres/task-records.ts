import type pg from 'pg'
import type { ImageId, TaskId } from '../domain/ids.ts'
import type { Task } from '../domain/task.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { CreateOutcome, ExportableImage, TaskStore } from '../export/ports.ts'
import { NO_QUOTAS, type Quotas } from '../export/quotas.ts'
import { AHEAD } from './ahead-sql.ts'
import { createdBefore, forgetKeys, holdKey, rememberKey } from './idempotency.ts'
import { insertTask, type TaskDefaults } from './insert-task.ts'
import { inTransaction } from './pool.ts'
import { admit, forgetDays, usageOf } from './quotas.ts'
import { type TaskRow, taskOf } from './task-row.ts'
import { STORED } from './task-sql.ts'
import { visibleTo } from './visible-tasks.ts'

/** Limits that a new task gets if it asks for no other, and what a project may have. */
export type TaskLimits = TaskDefaults & { readonly quotas?: Quotas }

type Records = Pick<TaskStore, 'create' | 'createdBefore' | 'get' | 'exportableImage' | 'usage' | 'forget'>

export function taskRecords(pool: pg.Pool, limits: TaskLimits): Records {
  const get = async (viewer: Viewer, id: TaskId): Promise<Task | undefined> => {
    const values: unknown[] = [id]
    const visible = visibleTo(viewer, (value) => `$${values.push(value)}`)
    // Statements with a name are planned once for each connection. This is what clients poll.
    const name = viewer.admin ? 'any task' : 'own task'
    const text = `select ${STORED} from tasks where id = $1 and ${visible}`
    const { rows } = await pool.query<TaskRow>({ name, text, values })
    return rows[0] && taskOf({ ...rows[0], ahead: await countAhead(pool, rows[0]) })
  }

  return {
    get,

    exportableImage: (viewer, id) => findImage(pool, viewer, id),

    createdBefore: (owner, once) => createdBefore(pool, owner, once),

    usage: (owner) => usageOf(pool, owner),

    async forget() {
      return { keys: await forgetKeys(pool), days: await forgetDays(pool) }
    },

    create: async (task, viewer, once) => {
      const { quotas = NO_QUOTAS } = limits
      const isLimited = quotas.activeTasks > 0 || quotas.bytesPerDay > 0
      if (!once && !isLimited) return insertTask(pool, viewer, task, limits)
      return inTransaction(pool, async (client): Promise<CreateOutcome> => {
        if (once) {
          await holdKey(client, task.owner, once)
          const earlier = await createdBefore(client, task.owner, once)
          if (earlier) return { status: 'replayed', task: earlier }
        }
        const image = await findImage(client, viewer, task.request.imageId, 'for share')
        if (image?.source) await admit(client, quotas, task.owner, image.source.size)
        const outcome = await insertTask(client, viewer, task, limits)
        if (once && outcome.status === 'created') await rememberKey(client, task.owner, once, task.id)
        return outcome
      })
    }
  }
}

/** A statement of its own, as preparing it takes longer than showing a task, and most of those that are shown do not wait. */
async function countAhead(pool: pg.Pool, { id, status, cancel_requested_at }: TaskRow): Promise<number | null> {
  if (status !== 'queued' || cancel_requested_at) return null
  const text = `select ${AHEAD} as ahead from tasks where id = $1 and status = 'queued'`
  const { rows } = await pool.query<{ ahead: number }>({ name: 'ahead of a task', text, values: [id] })
  return rows[0]?.ahead ?? null
}

/** The image as the viewer may export it. With `for share` it is held against deletion until the transaction ends. */
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
    owner: string
    visibility: string
    properties: Readonly<Record<string, string>>
  }>({
    name: `exportable image ${lock}`,
    text: `select status, name, disk_format, size, sha512, owner, visibility, properties from images
            where id = $1 and ($2::text is null or owner = $2 or visibility = 'public')
              ${lock}`,
    values: [id, viewer.admin ? null : viewer.owner]
  })
  const image = rows[0]
  if (!image) return undefined
  const { status, name, owner, visibility, properties } = image
  const facts = { owner, visibility, properties }
  if (status !== 'active') return { status, name, facts, source: undefined }
  return {
    status,
    name,
    facts,
    source: { diskFormat: image.disk_format, size: Number(image.size), sha512: image.sha512 }
  }
}
