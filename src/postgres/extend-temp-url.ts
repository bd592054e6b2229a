import type pg from 'pg'
import type { TaskId } from '../domain/ids.ts'
import { millis } from './task-sql.ts'
import { LIVING, type TempUrlRow } from './temp-url-row.ts'

type Extension = {
  /** Until when it is to live: so long from now, or a time. */
  readonly life: { readonly ms: number } | { readonly until: Date }
  /** Undefined leaves it as it is. */
  readonly ipRange?: string | null | undefined
  /** Makes earlier URLs void, and lets the time end earlier than it did. */
  readonly revokeEarlier?: boolean
}

/**
 * Sets how long a living temporary URL lives, and its task with it. The transaction holds the task's row: rows are locked in
 * the order task, image, URL.
 * @returns undefined when there is none
 */
export async function extendTempUrl(
  client: pg.PoolClient,
  id: TaskId,
  { life, ipRange, revokeEarlier = false }: Extension
): Promise<(TempUrlRow & { readonly until: Date }) | undefined> {
  const { rows: seen } = await client.query<{ image_id: string; virtual: boolean }>(
    `select image_id, virtual from temp_urls where task_id = $1 and ${LIVING}`,
    [id]
  )
  if (!seen[0]) return undefined
  // As create does: the image is held against a deletion that has found the URL to be over.
  const { rowCount } = await client.query('select from images where id = $1 for share', [seen[0].image_id])
  if (seen[0].virtual && rowCount === 0) return undefined
  const [until, value] = 'ms' in life ? [`now() + ${millis('$2')}`, life.ms] : ['$2::timestamptz', life.until]
  const { rows } = await client.query<TempUrlRow & { until: Date }>(
    `update temp_urls
        set expires_at = greatest(${until}, case when not $5 then expires_at end),
            ip_range = case when $3 then $4 else ip_range end,
            generation = generation + case when $5 then 1 else 0 end
      where task_id = $1 and ${LIVING}
     returning *, ${until} as until`,
    [id, value, ipRange !== undefined, ipRange ?? null, revokeEarlier]
  )
  const [row] = rows
  if (row)
    await client.query('update tasks set expires_at = $2, updated_at = now() where id = $1', [id, row.expires_at])
  return row
}
