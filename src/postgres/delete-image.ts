import type { Pool, PoolClient } from 'pg'
import { type ImageId, taskId } from '../domain/ids.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { DeleteOutcome } from '../library/ports.ts'
import { inTransaction } from './pool.ts'
import { VISIBLE } from './visible-images.ts'

export type ImageLocks = {
  /** Whether a temporary URL whose file is made from the image keeps it; otherwise it ends with the image. */
  readonly byTempUrls: boolean
}

/**
 * Creating a task takes `for share` on the row, and so does giving a URL more time; so after `for update` neither can appear
 * before this transaction ends. A task that succeeds turns into its URL in one statement: one of the two is seen.
 */
export const deleteImage = (pool: Pool, locks: ImageLocks, viewer: Viewer, id: ImageId): Promise<DeleteOutcome> =>
  inTransaction(pool, async (client) => {
    const image = await lockRow(client, viewer, id)
    if (!image) return { status: 'not_found' }
    if (!viewer.admin && image.owner !== viewer.owner) return { status: 'forbidden' }
    if (image.protected) return { status: 'protected' }
    // A statement of its own, with a snapshot taken after the lock: a sub-query of the delete would look too early.
    const held = await holders(client, viewer, id, locks)
    if (held) return { status: 'in_use', ...held }
    await client.query(`update temp_urls set revoked_at = now(), generation = generation + 1 where ${LIVING}`, [id])
    // Written down with it: the files are removed afterwards, which may not come about.
    await client.query(
      `with gone as (delete from images where id = $1 returning id)
       insert into deleted_images (id) select id from gone on conflict (id) do update set deleted_at = now()`,
      [id]
    )
    return { status: 'deleted', uploadId: image.upload_id }
  })

type LockedRow = { owner: string; protected: boolean; upload_id: string | null }

async function lockRow(client: PoolClient, viewer: Viewer, id: ImageId): Promise<LockedRow | undefined> {
  const { rows } = await client.query<LockedRow>(
    `select owner, protected, case when status = 'active' then upload_id end as upload_id
     from images where id = $3 and ${VISIBLE} for update`,
    [viewer.owner, viewer.admin, id]
  )
  return rows[0]
}

/** URLs whose file is made from the image `$1`. */
const LIVING = 'image_id = $1 and virtual and revoked_at is null and expires_at > now()'

/** In one statement, with one snapshot: a task that turns into its URL meanwhile is one of the two. Own ones come first. */
async function holders(client: PoolClient, viewer: Viewer, id: ImageId, { byTempUrls }: ImageLocks) {
  const { rows } = await client.query<{ id: string; ended: boolean; own: boolean }>(
    `select id, created_at, ended, owner = $2 or $3 as own from (
       select id, owner, created_at, false as ended from tasks
        where image_id = $1 and status in ('queued', 'processing', 'transferring')
       union all
       select task_id, owner, created_at, true from temp_urls where $4 and ${LIVING}
     ) as held
     order by own desc, created_at, id
     limit ${MOST_NAMED + 1}`,
    [id, viewer.owner, viewer.admin, byTempUrls]
  )
  if (rows.length === 0) return undefined
  const those = (which: boolean) => rows.filter(({ ended, own }) => own && ended === which).map((row) => taskId(row.id))
  return { tasks: those(false), tempUrls: those(true), others: rows.some(({ own }) => !own) }
}

/** Of as many as an image may be held by, so many are told. */
const MOST_NAMED = 1000
