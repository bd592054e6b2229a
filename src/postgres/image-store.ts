import type { Pool } from 'pg'
import { MarkerNotFound } from '../domain/errors.ts'
import { type ImageId, imageId, ownerId } from '../domain/ids.ts'
import type { Image, ImageStatus } from '../domain/image.ts'
import { ImageExists } from '../domain/image-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { ImageFields, ImageQuery, ImageStore, NewImage } from '../library/ports.ts'
import { deleteImage, type ImageLocks } from './delete-image.ts'
import { imageUploads } from './image-uploads.ts'
import { inTransaction } from './pool.ts'
import { VISIBLE } from './visible-images.ts'

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

/**
 * Images' rows in Postgres. Deletion is locked by the tables `tasks` and `temp_urls`: an image stays while a task that has not
 * ended names it, or a living URL whose file is made from it.
 */
export function imageStore(pool: Pool, locks: ImageLocks = { byTempUrls: true }): ImageStore {
  return {
    create: (image) => create(pool, image),
    get: (viewer, id) => get(pool, viewer, id),
    list: (viewer, query) => list(pool, viewer, query),
    update: (viewer, id, change) => update(pool, viewer, id, change),
    ...imageUploads(pool),
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
  const { rows } = await pool.query<ImageRow>(`select ${columns} from images where id = $3 and ${VISIBLE}`, [
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

  const conditions = [VISIBLE]
  for (const column of ['name', 'status', 'visibility', 'owner'] as const) {
    const wanted = query[column]
    if (wanted !== undefined) conditions.push(`${column} = ${parameter(wanted)}`)
  }
  if (query.marker) {
    // The marker's key never leaves Postgres: a Date would lose its microseconds.
    const marker = `select ${key}, id from images where id = ${parameter(query.marker)} and ${VISIBLE}`
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

const update = (pool: Pool, viewer: Viewer, id: ImageId, change: (image: Image) => ImageFields) =>
  inTransaction(pool, async (client) => {
    const { rows: seen } = await client.query<ImageRow>(
      `select ${columns} from images where id = $3 and (owner = $1 or $2) for update`,
      [viewer.owner, viewer.admin, id]
    )
    if (!seen[0]) return undefined
    const { rows } = await client.query<ImageRow>(
      `update images
       set name = $2, disk_format = $3, container_format = $4, visibility = $5, protected = $6, min_disk = $7, min_ram = $8,
         tags = $9, properties = $10, updated_at = now()
       where id = $1
       returning ${columns}`,
      [id, ...fieldValues(change(toImage(seen[0])))]
    )
    return rows[0] && toImage(rows[0])
  })

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
