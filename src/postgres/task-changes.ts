import type pg from 'pg'
import { taskId } from '../domain/ids.ts'
import { isTerminal } from '../domain/task.ts'
import type { TaskChange, TaskStore } from '../export/ports.ts'
import { extendTempUrl } from './extend-temp-url.ts'
import { inTransaction } from './pool.ts'
import { type TaskRow, taskOf } from './task-row.ts'
import { SHOWN } from './task-sql.ts'
import { lockTask } from './visible-tasks.ts'

/** What people do to their tasks, and how others hear of it. */
export function taskChanges(pool: pg.Pool): Pick<TaskStore, 'change' | 'remove' | 'versions'> {
  return {
    async versions(ids) {
      const { rows } = await pool.query<{ id: string; version: number }>(
        'select id, version from tasks where id = any($1::uuid[])',
        [ids]
      )
      return new Map(rows.map(({ id, version }) => [taskId(id), version]))
    },

    change: (viewer, id, decide) =>
      inTransaction(pool, async (client) => {
        const row = await lockTask(client, viewer, id)
        if (!row) return undefined
        const task = taskOf(row)
        const { expiresAt, ...change } = decide(task)
        // A file that is downloaded from here lives as long as its task.
        const extended = expiresAt && (await extendTempUrl(client, id, { life: { until: expiresAt } }))
        return taskOf(await write(client, row, { ...change, ...(expiresAt && !extended && { expiresAt }) }))
      }),

    remove: (viewer, id) =>
      inTransaction(pool, async (client) => {
        const row = await lockTask(client, viewer, id)
        if (!row) return 'not_found'
        if (!isTerminal(row.status)) return 'under_way'
        await client.query(
          `update temp_urls
              set revoked_at = coalesce(revoked_at, now()), expires_at = least(expires_at, now()), generation = generation + 1
            where task_id = $1`,
          [id]
        )
        await client.query('delete from tasks where id = $1', [id])
        return 'removed'
      })
  }
}

/** What sets a column, given the place of its value. */
const SET: Readonly<Record<keyof TaskChange, (value: string) => string>> = {
  description: (value) => `description = ${value}`,
  tags: (value) => `tags = ${value}`,
  metadata: (value) => `metadata = ${value}`,
  priority: (value) => `priority = ${value}`,
  expiresAt: (value) => `expires_at = ${value}`,
  bandwidthBps: (value) =>
    `options = jsonb_set(options, '{limits}', jsonb_strip_nulls(options->'limits' || jsonb_build_object('bandwidth_bps', ${value}::bigint)))`
}

async function write(client: pg.PoolClient, row: TaskRow, change: TaskChange): Promise<TaskRow> {
  const names = (Object.keys(SET) as (keyof TaskChange)[]).filter((name) => change[name] !== undefined)
  const set = names.map((name, index) => SET[name](`$${index + 2}`))
  const { rows } = await client.query<TaskRow>(
    set.length > 0
      ? `update tasks set updated_at = now(), ${set.join(', ')} where id = $1 returning ${SHOWN}`
      : `select ${SHOWN} from tasks where id = $1`,
    [row.id, ...names.map((name) => (name === 'metadata' ? JSON.stringify(change[name]) : change[name]))]
  )
  if (!rows[0]) throw new Error('a row that is held has gone')
  return rows[0]
}
