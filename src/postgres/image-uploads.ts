import type { Pool } from 'pg'
import type { ImageStore } from '../library/ports.ts'

type Uploads = Pick<ImageStore, 'beginUpload' | 'touchUpload' | 'finishUpload' | 'failUpload' | 'uploadOf'>

/** Whose turn it is to give an image its bytes, and whose they are. */
export function imageUploads(pool: Pool): Uploads {
  return {
    async beginUpload(id, uploadId) {
      const { rowCount } = await pool.query(
        `update images set status = 'saving', upload_id = $2, upload_seen_at = now(), updated_at = now()
         where id = $1
           and (status = 'queued' or (status = 'saving' and upload_seen_at < now() - interval '2 minutes'))`,
        [id, uploadId]
      )
      return rowCount === 1
    },

    async touchUpload(id, uploadId) {
      const { rowCount } = await pool.query(
        `update images set upload_seen_at = now() where id = $1 and upload_id = $2 and status = 'saving'`,
        [id, uploadId]
      )
      return rowCount === 1
    },

    async finishUpload(id, uploadId, facts) {
      const { rowCount } = await pool.query(
        `update images
         set status = 'active', size = $3, virtual_size = $4, checksum = $5, sha512 = $6, updated_at = now()
         where id = $1 and upload_id = $2 and status = 'saving'`,
        [id, uploadId, facts.size, facts.virtualSize, facts.checksum, facts.sha512]
      )
      return rowCount === 1
    },

    async failUpload(id, uploadId) {
      await pool.query(
        `update images set status = 'queued', upload_id = null, upload_seen_at = null, updated_at = now()
         where id = $1 and upload_id = $2 and status = 'saving'`,
        [id, uploadId]
      )
    },

    async uploadOf(id) {
      const { rows } = await pool.query<{ upload_id: string }>(
        `select upload_id from images where id = $1 and status = 'active'`,
        [id]
      )
      return rows[0]?.upload_id
    }
  }
}
