import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { type ImageId, imageId, ownerId } from '../../../src/domain/ids.ts'
import type { Image } from '../../../src/domain/image.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import type { ImageFacts, ImageFields, ImageStore } from '../../../src/library/ports.ts'

export const memberOf = (project: string): Viewer => ({
  owner: ownerId(project),
  userId: `user of ${project}`,
  roles: ['member'],
  admin: false
})
export const admin: Viewer = { owner: ownerId('operators'), userId: 'root', roles: ['admin'], admin: true }

export const fields: ImageFields = {
  name: 'debian',
  diskFormat: 'raw',
  containerFormat: 'bare',
  visibility: 'private',
  protected: false,
  minDisk: 0,
  minRam: 0,
  tags: [],
  properties: {}
}

export const facts: ImageFacts = { size: 10, virtualSize: 512, checksum: 'c'.repeat(32), sha512: 'd'.repeat(128) }

export const newImage = (store: ImageStore, viewer: Viewer, changes: Partial<ImageFields> = {}): Promise<Image> =>
  store.create({ ...fields, ...changes, id: imageId(randomUUID()), owner: viewer.owner })

export async function activeImage(
  store: ImageStore,
  viewer: Viewer,
  changes: Partial<ImageFields> = {}
): Promise<Image> {
  const image = await newImage(store, viewer, changes)
  const uploadId = randomUUID()
  await store.beginUpload(image.id, uploadId)
  await store.finishUpload(image.id, uploadId, facts)
  return { ...image, ...facts, status: 'active' }
}

/** A task's row as creating a task makes it; `client` says in which transaction. Returns the task's id. */
export async function insertTask(client: Pick<pg.Pool, 'query'>, image: ImageId, status = 'queued'): Promise<string> {
  const ended = status === 'success' || status === 'failure'
  const { rows } = await client.query<{ id: string }>(
    `insert into tasks (id, owner, user_id, request_id, image_id, status, export_to, export_format, export_id, source,
       max_attempts, deadline, result, failure, message, expires_at)
     values (gen_random_uuid(), 'p1', 'u1', 'r1', $1, $2, 's3://bucket', 'raw', gen_random_uuid(), '{}',
       5, now() + interval '1 day', case when $3 then '{}'::jsonb end, case when $3 then '{}'::jsonb end, 'text',
       case when $3 then now() + interval '1 day' end)
     returning id`,
    [image, status, ended]
  )
  return rows[0]?.id ?? ''
}
