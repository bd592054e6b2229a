import type { Pool, PoolClient } from 'pg'
import { MarkerNotFound } from '../domain/errors.ts'
import { type ImageId, imageId, ownerId, type TaskId, taskId } from '../domain/ids.ts'
import type { Image, ImageStatus } from '../domain/image.ts'
import { ImageExists } from '../domain/image-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { DeleteOutcome, ImageFacts, ImageFields, ImageQuery, ImageStore, NewImage } from '../library/ports.ts'
import { inTransaction } from './pool.ts'

type ImageRow = {
  id: string
  owner: string
  status: ImageStatus
  name: string | null
  disk_format: string | null
  container_format: string | null
  visibility: 'private' | 'public'
  protected: boolean
  min_disk: number
  min_ram: number
  tags: string[]
  properties: Record<string, string>
  size: string | null
  virtual_size: string | null
  checksum: string | null
  sha512: string | null
  created_at: Date
  updated_at: Date
}

const columns = `id, owner, status, name, disk_format, container_format, visibility, protected, min_disk, min_ram, tags,
  properties, size, virtual_size, checksum, sha512, created_at, updated_at`

/** `$1` is the viewer's project, `$2` whether the viewer is an admin. */
const visible = `(owner = $1 or visibility = 'public' or $2)`

/** What a page is sorted by: never null, and text by its bytes, so that an order does not depend on the database's locale. */
const sortExpressions: Readonly<Record<ImageQuery['sortKey'], string>> = {
  created_at: 'created_at',
  updated_at: 'updated_at',
  name: `coalesce(name, '') collate "C"`,
  status: `status collate "C"`,
  id: 'id',
  size: 'coalesce(size, -1)',
  disk_format: `coalesce(disk_format, '') collate "C"`,
  container_format: `coalesce(container_format, '') collate "C"`
}

export type ImageLocks = {
  /** Whether a temporary URL whose file is made from the image keeps it; otherwise it ends with the image. */
  readonly byTempUrls: boolean
}

/**
 * Images' rows in Postgres. Deletion is locked by the tables `tasks` and `temp_urls`: an image stays while a task that has not
 * ended names it, or a living URL whose file is made from it.
 */
export function imageStore(pool: Pool, locks: ImageLocks = { byTempUrls: true }): ImageStore {
  return {
    create: (image) => create(pool, image),
    get: (viewer, id) => get(pool, viewer, id),
    list: (viewer, query) => list(pool, viewer, query),
    update: (viewer, id, fields) => update(pool, viewer, id, fields),
    beginUpload: (id, uploadId) => beginUpload(pool, id, uploadId),
    touchUpload: (id, uploadId) => touchUpload(pool, id, uploadId),
    finishUpload: (id, uploadId, facts) => finishUpload(pool, id, uploadId, facts),
    failUpload: (id, uploadId) => failUpload(pool, id, uploadId),
    uploadOf: (id) => uploadOf(pool, id),
    delete: (viewer, id) => deleteImage(pool, locks, viewer, id)
  }
}

async function create(pool: Pool, image: NewImage): Promise<Image> {
  const { rows } = await pool.query<ImageRow>(
    `insert into images (id, owner, name, disk_format, container_format, visibility, protected, min_disk, min_ram, tags, properties)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
     on conflict (id) do nothing
     returning ${columns}`,
    [image.id, image.owner, ...fieldValues(image)]
  )
  const [row] = rows
  if (!row) throw new ImageExists(image.id)
  return toImage(row)
}

async function get(pool: Pool, viewer: Viewer, id: ImageId): Promise<Image | undefined> {
  const { rows } = await pool.query<ImageRow>(`select ${columns} from images where id = $3 and ${visible}`, [
    viewer.owner,
    viewer.admin,
    id
  ])
  return rows[0] && toImage(rows[0])
}

async function list(pool: Pool, viewer: Viewer, query: ImageQuery): Promise<Image[]> {
  const values: unknown[] = [viewer.owner, viewer.admin, query.limit]
  const parameter = (value: unknown): string => `$${values.push(value)}`
  const key = sortExpressions[query.sortKey]
  const [direction, beyond] = query.sortDir === 'asc' ? ['asc', '>'] : ['desc', '<']

  const conditions = [visible]
  for (const column of ['name', 'status', 'visibility', 'owner'] as const) {
    const wanted = query[column]
    if (wanted !== undefined) conditions.push(`${column} = ${parameter(wanted)}`)
  }
  if (query.marker) {
    // The marker's key never leaves Postgres: a Date would lose its microseconds.
    const marker = `select ${key}, id from images where id = ${parameter(query.marker)} and ${visible}`
    conditions.push(`(${key}, id) ${beyond} (${marker})`)
  }

  const { rows } = await pool.query<ImageRow>(
    `select ${columns} from images where ${conditions.join(' and ')}
     order by ${key} ${direction}, id ${direction} limit $3`,
    values
  )
  if (query.marker && rows.length === 0 && !(await get(pool, viewer, query.marker))) {
    throw new MarkerNotFound(query.marker)
  }
  return rows.map(toImage)
}

async function update(pool: Pool, viewer: Viewer, id: ImageId, fields: ImageFields): Promise<Image | undefined> {
  const { rows } = await pool.query<ImageRow>(
    `update images
     set name = $4, disk_format = $5, container_format = $6, visibility = $7, protected = $8, min_disk = $9, min_ram = $10,
       tags = $11, properties = $12, updated_at = now()
     where id = $3 and (owner = $1 or $2)
       and (status = 'queued' or row(disk_format, container_format) is not distinct from row($5::text, $6::text))
     returning ${columns}`,
    [viewer.owner, viewer.admin, id, ...fieldValues(fields)]
  )
  return rows[0] && toImage(rows[0])
}

async function beginUpload(pool: Pool, id: ImageId, uploadId: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update images set status = 'saving', upload_id = $2, upload_seen_at = now(), updated_at = now()
     where id = $1
       and (status = 'queued' or (status = 'saving' and upload_seen_at < now() - interval '2 minutes'))`,
    [id, uploadId]
  )
  return rowCount === 1
}

async function touchUpload(pool: Pool, id: ImageId, uploadId: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update images set upload_seen_at = now() where id = $1 and upload_id = $2 and status = 'saving'`,
    [id, uploadId]
  )
  return rowCount === 1
}

async function finishUpload(pool: Pool, id: ImageId, uploadId: string, facts: ImageFacts): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update images
     set status = 'active', size = $3, virtual_size = $4, checksum = $5, sha512 = $6, updated_at = now()
     where id = $1 and upload_id = $2 and status = 'saving'`,
    [id, uploadId, facts.size, facts.virtualSize, facts.checksum, facts.sha512]
  )
  return rowCount === 1
}

async function failUpload(pool: Pool, id: ImageId, uploadId: string): Promise<void> {
  await pool.query(
    `update images set status = 'queued', upload_id = null, upload_seen_at = null, updated_at = now()
     where id = $1 and upload_id = $2 and status = 'saving'`,
    [id, uploadId]
  )
}

async function uploadOf(pool: Pool, id: ImageId): Promise<string | undefined> {
  const { rows } = await pool.query<{ upload_id: string }>(
    `select upload_id from images where id = $1 and status = 'active'`,
    [id]
  )
  return rows[0]?.upload_id
}

/**
 * Creating a task takes `for share` on the row, and so does giving a URL more time; so after `for update` neither can appear
 * before this transaction ends. A task that succeeds turns into its URL in one statement: one of the two is seen.
 */
const deleteImage = (pool: Pool, locks: ImageLocks, viewer: Viewer, id: ImageId): Promise<DeleteOutcome> =>
  inTransaction(pool, async (client) => {
    const image = await lockRow(client, viewer, id)
    if (!image) return { status: 'not_found' }
    if (!viewer.admin && image.owner !== viewer.owner) return { status: 'forbidden' }
    if (image.protected) return { status: 'protected' }
    // A statement of its own, with a snapshot taken after the lock: a sub-query of the delete would look too early.
    const { tasks, tempUrls } = await holders(client, id)
    if (tasks.length > 0 || (locks.byTempUrls && tempUrls.length > 0)) return { status: 'in_use', tasks, tempUrls }
    await client.query(
      'update temp_urls set revoked_at = now(), generation = generation + 1 where task_id = any($1::uuid[])',
      [tempUrls]
    )
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
     from images where id = $3 and ${visible} for update`,
    [viewer.owner, viewer.admin, id]
  )
  return rows[0]
}

/** In one statement, with one snapshot: a task that turns into its URL meanwhile is one of the two. */
async function holders(client: PoolClient, id: ImageId): Promise<{ tasks: TaskId[]; tempUrls: TaskId[] }> {
  const { rows } = await client.query<{ id: string; ended: boolean }>(
    `select id, created_at, false as ended from tasks
      where image_id = $1 and status in ('queued', 'processing', 'transferring')
     union all
     select task_id, created_at, true from temp_urls
      where image_id = $1 and virtual and revoked_at is null and expires_at > now()
     order by created_at, id`,
    [id]
  )
  const those = (which: boolean) => rows.filter(({ ended }) => ended === which).map((row) => taskId(row.id))
  return { tasks: those(false), tempUrls: those(true) }
}

/** In the order of the columns from `name` to `properties`. */
const fieldValues = (fields: ImageFields): unknown[] => [
  fields.name,
  fields.diskFormat,
  fields.containerFormat,
  fields.visibility,
  fields.protected,
  fields.minDisk,
  fields.minRam,
  fields.tags,
  fields.properties
]

const toImage = (row: ImageRow): Image => ({
  id: imageId(row.id),
  owner: ownerId(row.owner),
  status: row.status,
  name: row.name,
  diskFormat: row.disk_format,
  containerFormat: row.container_format,
  visibility: row.visibility,
  protected: row.protected,
  minDisk: row.min_disk,
  minRam: row.min_ram,
  tags: row.tags,
  properties: row.properties,
  size: toNumber(row.size),
  virtualSize: toNumber(row.virtual_size),
  checksum: row.checksum,
  sha512: row.sha512,
  createdAt: row.created_at,
  updatedAt: row.updated_at
})

/** pg gives bigint as text; sizes of images are far below 2^53. */
const toNumber = (bigint: string | null): number | null => (bigint === null ? null : Number(bigint))
