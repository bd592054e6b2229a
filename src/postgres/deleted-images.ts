import type pg from 'pg'
import { type ImageId, imageId } from '../domain/ids.ts'
import type { DeletedImages } from '../library/tidy-deleted-images.ts'
import { millis } from './task-sql.ts'

/** Rows of `deleted_images`, which the deletion of an image leaves. */
export const deletedImages = (pool: pg.Pool): DeletedImages => ({
  async list(olderThanMs) {
    const { rows } = await pool.query<{ id: string }>(
      `select id from deleted_images
        where deleted_at < now() - ${millis('$1')} and not exists (select from images where images.id = deleted_images.id)
        order by deleted_at
        limit 500`,
      [olderThanMs]
    )
    return rows.map(({ id }) => imageId(id))
  },

  async forget(ids: readonly ImageId[]) {
    await pool.query('delete from deleted_images where id = any($1::uuid[])', [ids])
  }
})
