import type pg from 'pg'
import { taskId } from '../domain/ids.ts'
import type { FormatOptions } from '../domain/task.ts'
import type { SourceIdentity } from '../export/ports.ts'
import type { Download, Servable, TempUrlStore } from '../temp-urls/ports.ts'
import { extendTempUrl } from './extend-temp-url.ts'
import { inTransaction } from './pool.ts'
import { millis } from './task-sql.ts'
import { LIVING, type TempUrlRow, tempUrlOf } from './temp-url-row.ts'
import { lockTask, visibleTo } from './visible-tasks.ts'

/** Silence after which the process of a download is taken for dead. */
const SILENCE = `interval '2 minutes'`
const MOST_LISTED = 1000

export function tempUrlStore(pool: pg.Pool): TempUrlStore {
  return {
    async find(ids) {
      const { rows } = await pool.query<ServableRow>(
        `select urls.*, tasks.source, tasks.export_format, tasks.format_options
           from (select * from temp_urls where task_id = any($1::uuid[]) and ${LIVING}) as urls
           join tasks on tasks.id = urls.task_id`,
        [ids]
      )
      return rows.map(servableOf)
    },

    extend: (viewer, id, { ttlMs, ipRange, revokeEarlier }) =>
      inTransaction(pool, async (client) => {
        if (!(await lockTask(client, viewer, id))) return undefined
        const row = await extendTempUrl(client, id, { life: { ms: ttlMs }, ipRange, revokeEarlier })
        return row && { tempUrl: tempUrlOf(row), until: row.until }
      }),

    revoke: (viewer, id) =>
      inTransaction(pool, async (client) => {
        if (!(await lockTask(client, viewer, id))) return false
        const { rowCount } = await client.query(
          `update temp_urls
              set revoked_at = coalesce(revoked_at, now()),
                  generation = generation + case when revoked_at is null then 1 else 0 end
            where task_id = $1`,
          [id]
        )
        // The task shows it no more: that is news of the task.
        await client.query('update tasks set updated_at = now() where id = $1', [id])
        return rowCount === 1
      }),

    async startDownload({ taskId: id, generation }, { client, status, from, to }) {
      const { rows } = await pool.query<{ id: string }>(
        `insert into downloads (task_id, client, status, range_from, range_to)
         select task_id, $3, $4, $5, $6 from temp_urls
          where task_id = $1 and generation = $2 and ${LIVING}
            for key share
         returning id`,
        [id, generation, client, status, from, to]
      )
      return rows[0]?.id
    },

    async touchDownload(download, { generation }, bytesSent) {
      const { rows } = await pool.query<{ valid: boolean }>(
        `update downloads set seen_at = now(), bytes_sent = $2
           from temp_urls
          where downloads.id = $1 and temp_urls.task_id = downloads.task_id
         returning temp_urls.generation = $3 as valid`,
        [download, bytesSent, generation]
      )
      return rows[0]?.valid === true
    },

    async endDownload(download, bytesSent, complete) {
      await pool.query(
        'update downloads set seen_at = now(), finished_at = now(), bytes_sent = $2, complete = $3 where id = $1',
        [download, bytesSent, complete]
      )
    },

    async downloads(viewer, id) {
      const values: unknown[] = [id]
      const visible = visibleTo(viewer, (value) => `$${values.push(value)}`)
      const { rows } = await pool.query<{ downloads: DownloadRow[] }>(
        `select coalesce((select jsonb_agg(to_jsonb(newest) order by id desc)
                            from (select * from downloads where task_id = temp_urls.task_id
                                   order by id desc limit ${MOST_LISTED}) as newest), '[]') as downloads
           from temp_urls where task_id = $1 and ${visible}`,
        values
      )
      return rows[0]?.downloads.map(downloadOf)
    },

    async ended(graceMs) {
      const { rows } = await pool.query<{ task_id: string }>(
        `select task_id from temp_urls
          where (expires_at <= now() or (revoked_at is not null and files_removed_at is null))
            and (least(expires_at, revoked_at) <= now() - ${millis('$1')}
                 or not exists (select from downloads
                                 where task_id = temp_urls.task_id
                                   and finished_at is null and seen_at > now() - ${SILENCE}))
          order by expires_at
          limit 500`,
        [graceMs]
      )
      return rows.map((row) => taskId(row.task_id))
    },

    async filesRemoved(ids) {
      await pool.query('delete from temp_urls where task_id = any($1::uuid[]) and expires_at <= now()', [ids])
      await pool.query('update temp_urls set files_removed_at = now() where task_id = any($1::uuid[])', [ids])
    },

    async unknown(ids) {
      const { rows } = await pool.query<{ id: string }>(
        `select given.id from unnest($1::uuid[]) as given (id)
          where not exists (select from temp_urls where task_id = given.id)
            and not exists (select from tasks
                             where tasks.id = given.id and status in ('queued', 'processing', 'transferring'))`,
        [ids]
      )
      return rows.map(({ id }) => taskId(id))
    }
  }
}

type ServableRow = TempUrlRow & {
  readonly source: SourceIdentity
  readonly export_format: string
  readonly format_options: FormatOptions
}

/** As JSON has it. */
type DownloadRow = {
  readonly client: string
  readonly status: number
  readonly range_from: number
  readonly range_to: number
  readonly started_at: string
  readonly finished_at: string | null
  readonly bytes_sent: number
  readonly complete: boolean
}

const servableOf = (row: ServableRow): Servable => ({
  ...tempUrlOf(row),
  source: row.source,
  exportFormat: row.export_format,
  formatOptions: row.format_options
})

const downloadOf = (row: DownloadRow): Download => ({
  startedAt: new Date(row.started_at),
  finishedAt: row.finished_at === null ? null : new Date(row.finished_at),
  client: row.client,
  status: row.status,
  from: row.range_from,
  to: row.range_to,
  bytesSent: row.bytes_sent,
  complete: row.complete
})
