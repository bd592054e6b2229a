import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ImageId, imageId } from '../../../src/domain/ids.ts'
import type { Image } from '../../../src/domain/image.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import type { ImageQuery, ImageStore } from '../../../src/library/ports.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { migratedDatabase } from '../../support/database.ts'
import { activeImage, admin, facts, fields, insertTask, memberOf, newImage } from './image-rows.ts'

const [one, two] = [memberOf('p1'), memberOf('p2')]
const newest: ImageQuery = { limit: 100, sortKey: 'created_at', sortDir: 'desc' }

let database: Awaited<ReturnType<typeof migratedDatabase>>
let store: ImageStore
beforeAll(async () => {
  database = await migratedDatabase()
  store = imageStore(database.pool)
})
afterAll(() => database.close())
beforeEach(() => database.pool.query('truncate images, tasks cascade'))

describe('create and get', () => {
  it('gives back what was stored', async () => {
    const id = imageId(randomUUID())
    const all = {
      ...fields,
      name: 'naïve \u{1F4BF}',
      tags: ['a', 'b"c', ''],
      properties: { os: 'linux', __proto: 'x' },
      minDisk: 5
    }

    const created = await store.create({ ...all, id, owner: one.owner })

    expect(created).toMatchObject({ ...all, id, owner: 'p1', status: 'queued', size: null, sha512: null })
    expect(created.createdAt).toBeInstanceOf(Date)
    expect(await store.get(one, id)).toEqual(created)
  })

  it('refuses an id that is taken, whoever has it', async () => {
    const { id } = await newImage(store, one)

    const second = store.create({ ...fields, id, owner: two.owner })

    await expect(second).rejects.toMatchObject({ code: 'IMAGE_EXISTS' })
  })

  it('keeps sizes beyond 32 bits as numbers', async () => {
    const { id } = await newImage(store, one)
    const uploadId = randomUUID()
    await store.beginUpload(id, uploadId)
    await store.finishUpload(id, uploadId, { ...facts, size: 2 ** 45 + 1, virtualSize: 2 ** 46 })

    expect(await store.get(one, id)).toMatchObject({ size: 2 ** 45 + 1, virtualSize: 2 ** 46 })
  })
})

describe('visibility', () => {
  it('shows own, public and, to an admin, all images', async () => {
    const images = {
      mine: await newImage(store, one),
      theirs: await newImage(store, two),
      shared: await newImage(store, two, { visibility: 'public' })
    }
    const seen = async (viewer: Viewer) => {
      const listed = new Set((await store.list(viewer, newest)).map(({ id }) => id))
      const got = await Promise.all(
        Object.entries(images).map(async ([name, { id }]) => ((await store.get(viewer, id)) ? name : ''))
      )
      const inList = Object.entries(images).map(([name, { id }]) => (listed.has(id) ? name : ''))
      expect(got).toEqual(inList)
      return got.filter((name) => name)
    }

    expect(await seen(one)).toEqual(['mine', 'shared'])
    expect(await seen(two)).toEqual(['theirs', 'shared'])
    expect(await seen(memberOf('p3'))).toEqual(['shared'])
    expect(await seen(admin)).toEqual(['mine', 'theirs', 'shared'])
  })

  it('lets only the project and admins change an image', async () => {
    const { id } = await newImage(store, one, { visibility: 'public' })

    expect(await store.update(two, id, () => ({ ...fields, name: 'taken' }))).toBeUndefined()
    expect(await store.update(admin, id, () => ({ ...fields, name: 'by admin' }))).toMatchObject({
      name: 'by admin',
      owner: 'p1'
    })
    expect(await store.update(one, id, () => ({ ...fields, name: 'by owner' }))).toMatchObject({ name: 'by owner' })
  })
})

describe('list', () => {
  const sortKeys = [
    'created_at',
    'updated_at',
    'name',
    'status',
    'id',
    'size',
    'disk_format',
    'container_format'
  ] as const

  /** 60 images, many with equal keys: three creation times that differ by a microsecond, names of every kind, nulls. */
  async function manyImages(): Promise<Image[]> {
    const names = [null, '', 'a', 'B', 'b', 'é', 'z', 'ｚ', '\u{1F4BF}']
    for (let n = 0; n < 60; n += 1) {
      const changes = { name: names[n % names.length] ?? null, diskFormat: n % 3 ? 'qcow2' : 'raw' }
      if (n % 4) await newImage(store, one, { ...changes, diskFormat: n % 5 ? changes.diskFormat : null })
      else await activeImage(store, one, changes)
    }
    await database.pool.query(
      `update images set created_at = '2026-01-01 00:00:00.123456+00'::timestamptz + (ascii(right(id::text, 1)) % 3) * interval '1 microsecond'`
    )
    return store.list(one, newest)
  }

  async function inPages(viewer: Viewer, query: ImageQuery): Promise<ImageId[]> {
    const ids: ImageId[] = []
    for (let marker: ImageId | undefined; ; marker = ids.at(-1)) {
      const page = await store.list(viewer, { ...query, ...(marker && { marker }) })
      ids.push(...page.map(({ id }) => id))
      if (page.length < query.limit) return ids
    }
  }

  /** By the bytes of the text, as Postgres' "C". */
  const compare = (a: string | number, b: string | number) =>
    typeof a === 'number' ? a - Number(b) : Buffer.compare(Buffer.from(a), Buffer.from(String(b)))

  it('gives the same in pages as sorted in memory, by every key in both directions', async () => {
    const images = await manyImages()
    const { rows } = await database.pool.query<{ id: string; created: string; updated: string }>(
      `select id, extract(epoch from created_at)::text as created, extract(epoch from updated_at)::text as updated from images`
    )
    const times = new Map(rows.map((row) => [row.id, row]))
    const keys: Record<(typeof sortKeys)[number], (image: Image) => string | number> = {
      created_at: ({ id }) => times.get(id)?.created ?? '',
      updated_at: ({ id }) => times.get(id)?.updated ?? '',
      name: ({ name }) => name ?? '',
      status: ({ status }) => status,
      id: ({ id }) => id,
      size: ({ size }) => size ?? -1,
      disk_format: ({ diskFormat }) => diskFormat ?? '',
      container_format: ({ containerFormat }) => containerFormat ?? ''
    }

    expect(images).toHaveLength(60)
    for (const sortKey of sortKeys) {
      const key = keys[sortKey]
      const rising = [...images].sort((a, b) => compare(key(a), key(b)) || compare(a.id, b.id)).map(({ id }) => id)
      expect(await inPages(one, { limit: 7, sortKey, sortDir: 'asc' }), sortKey).toEqual(rising)
      expect(await inPages(one, { limit: 7, sortKey, sortDir: 'desc' }), sortKey).toEqual(rising.reverse())
    }
  })

  it('filters by name, status, visibility and owner', async () => {
    const active = await activeImage(store, one, { name: 'x' })
    const shared = await newImage(store, two, { name: 'x', visibility: 'public' })
    await newImage(store, one, { name: 'y' })
    const found = async (filter: Partial<ImageQuery>) =>
      (await store.list(one, { ...newest, ...filter })).map(({ id }) => id)

    expect(await found({ name: 'x' })).toEqual([shared.id, active.id])
    expect(await found({ status: 'active' })).toEqual([active.id])
    expect(await found({ visibility: 'public' })).toEqual([shared.id])
    expect(await found({ owner: 'p2', name: 'x' })).toEqual([shared.id])
    expect(await found({ name: "x' or true --" })).toEqual([])
  })

  it('ends with an empty page, and knows a marker that may not be seen from that', async () => {
    const last = await newImage(store, one)
    const hidden = await newImage(store, two)

    expect(await store.list(one, { ...newest, marker: last.id })).toEqual([])
    for (const marker of [hidden.id, imageId(randomUUID())]) {
      await expect(store.list(one, { ...newest, marker })).rejects.toMatchObject({ code: 'MARKER_NOT_FOUND' })
    }
  })
})

describe('uploads', () => {
  const silentFor = (interval: string, id: ImageId) =>
    database.pool.query(`update images set upload_seen_at = now() - $2::interval where id = $1`, [id, interval])

  it('lets one of many begin', async () => {
    const { id } = await newImage(store, one)

    const begun = await Promise.all(Array.from({ length: 10 }, () => store.beginUpload(id, randomUUID())))

    expect(begun.filter(Boolean)).toHaveLength(1)
    expect(await store.get(one, id)).toMatchObject({ status: 'saving' })
  })

  it('makes the image active, for good', async () => {
    const { id } = await newImage(store, one)
    const uploadId = randomUUID()
    await store.beginUpload(id, uploadId)
    expect(await store.uploadOf(id)).toBeUndefined()

    expect(await store.finishUpload(id, uploadId, facts)).toBe(true)

    expect(await store.get(one, id)).toMatchObject({ status: 'active', ...facts })
    expect(await store.uploadOf(id)).toBe(uploadId)
    await store.failUpload(id, uploadId)
    expect(await store.beginUpload(id, randomUUID())).toBe(false)
    expect(await store.finishUpload(id, uploadId, facts)).toBe(false)
    expect(await store.get(one, id)).toMatchObject({ status: 'active' })
  })

  it('frees the image after a failure', async () => {
    const { id } = await newImage(store, one)
    const uploadId = randomUUID()
    await store.beginUpload(id, uploadId)

    await store.failUpload(id, uploadId)

    expect(await store.get(one, id)).toMatchObject({ status: 'queued' })
    expect(await store.beginUpload(id, randomUUID())).toBe(true)
  })

  it('passes to another upload after two silent minutes, and the first can do nothing any more', async () => {
    const { id } = await newImage(store, one)
    const [first, second] = [randomUUID(), randomUUID()]
    await store.beginUpload(id, first)
    await silentFor('119 seconds', id)
    expect(await store.beginUpload(id, second)).toBe(false)

    await silentFor('121 seconds', id)
    expect(await store.touchUpload(id, first)).toBe(true)
    expect(await store.beginUpload(id, second)).toBe(false)

    await silentFor('121 seconds', id)
    expect(await store.beginUpload(id, second)).toBe(true)
    expect(await store.touchUpload(id, first)).toBe(false)
    await store.failUpload(id, first)
    expect(await store.finishUpload(id, first, facts)).toBe(false)
    expect(await store.finishUpload(id, second, facts)).toBe(true)
  })
})

describe('delete', () => {
  it('removes the row and says which files are left', async () => {
    const { id } = await activeImage(store, one)
    const uploadId = await store.uploadOf(id)

    expect(await store.delete(one, id)).toEqual({ status: 'deleted', uploadId })
    expect(await store.get(one, id)).toBeUndefined()
    expect(await store.delete(one, id)).toEqual({ status: 'not_found' })
  })

  it('leaves the files of an upload under way to that upload, which is told', async () => {
    const { id } = await newImage(store, one)
    const uploadId = randomUUID()
    await store.beginUpload(id, uploadId)

    expect(await store.delete(one, id)).toEqual({ status: 'deleted', uploadId: null })
    expect(await store.touchUpload(id, uploadId)).toBe(false)
    expect(await store.finishUpload(id, uploadId, facts)).toBe(false)
  })

  it('is for the project and for admins', async () => {
    const hidden = await newImage(store, one)
    const shared = await newImage(store, one, { visibility: 'public' })

    expect(await store.delete(two, hidden.id)).toEqual({ status: 'not_found' })
    expect(await store.delete(two, shared.id)).toEqual({ status: 'forbidden' })
    expect(await store.delete(admin, shared.id)).toEqual({ status: 'deleted', uploadId: null })
  })

  it('spares what is protected, also from admins', async () => {
    const { id } = await newImage(store, one, { protected: true })

    expect(await store.delete(one, id)).toEqual({ status: 'protected' })
    expect(await store.delete(admin, id)).toEqual({ status: 'protected' })
  })

  it.each(['queued', 'processing', 'transferring'])(
    'spares an image that a %s task needs, and names the task',
    async (status) => {
      const { id } = await activeImage(store, one)
      await insertTask(database.pool, id, 'success')
      const task = await insertTask(database.pool, id, status)

      expect(await store.delete(admin, id)).toEqual({ status: 'in_use', tasks: [task], tempUrls: [], others: false })
      expect(await store.get(one, id)).toBeDefined()
    }
  )

  it.each(['success', 'failure'])('does not mind a task that ended in %s, which outlives its image', async (status) => {
    const { id } = await activeImage(store, one)
    const task = await insertTask(database.pool, id, status)

    expect(await store.delete(one, id)).toMatchObject({ status: 'deleted' })
    const { rows } = await database.pool.query('select image_id from tasks where id = $1', [task])
    expect(rows).toEqual([{ image_id: id }])
  })
})
