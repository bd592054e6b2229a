import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ImageId, imageId } from '../../../src/domain/ids.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { type LibraryFiles, libraryFiles } from '../../../src/images/library-files.ts'
import type { ImageStore } from '../../../src/library/ports.ts'
import { tidyDeletedImages } from '../../../src/library/tidy-deleted-images.ts'
import { deletedImages } from '../../../src/postgres/deleted-images.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { migratedDatabase } from '../../support/database.ts'
import { activeImage, fields, memberOf } from './image-rows.ts'

const viewer = memberOf('p1')
const hashers = createHashers(1)
let database: Awaited<ReturnType<typeof migratedDatabase>>
let store: ImageStore
let dir: string
let files: LibraryFiles
let logged: object[]
beforeAll(async () => {
  database = await migratedDatabase()
  store = imageStore(database.pool)
})
afterAll(async () => {
  await hashers.close()
  await database.close()
})
beforeEach(async () => {
  await database.pool.query('truncate images, deleted_images')
  dir = await mkdtemp(join(tmpdir(), 'library-'))
  files = libraryFiles({ dir, hashers, uploadOf: (id) => store.uploadOf(id) })
  logged = []
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const HOUR_MS = 3_600_000
const tidy = () =>
  tidyDeletedImages({ deleted: deletedImages(database.pool), files, log: { info: (data) => logged.push(data) } })

/** Files of an upload that were written so long ago. */
async function filesOf(id: ImageId, agoMs: number, suffix = ''): Promise<void> {
  const folder = join(dir, id, `${randomUUID()}${suffix}`)
  const then = new Date(Date.now() - agoMs)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'data'), 'bytes')
  for (const path of [join(folder, 'data'), folder]) await utimes(path, then, then)
}

/** The row goes, and the process dies before the files do. */
async function deletedBeforeACrash(agoMs: number): Promise<ImageId> {
  const { id } = await activeImage(store, viewer)
  await store.delete(viewer, id)
  await database.pool.query(
    `update deleted_images set deleted_at = now() - $2 * interval '1 millisecond' where id = $1`,
    [id, agoMs]
  )
  return id
}
const remembered = async () => (await database.pool.query('select from deleted_images')).rowCount

describe('files of a deleted image whose process died', () => {
  it('are removed after an hour, and that is logged and done', async () => {
    const id = await deletedBeforeACrash(2 * HOUR_MS)
    await filesOf(id, 2 * HOUR_MS)
    await filesOf(id, 2 * HOUR_MS, '.part')

    await tidy()

    expect(await readdir(dir)).toEqual([])
    expect(logged).toEqual([{ imageId: id, uploads: 2 }])
    expect(await remembered()).toBe(0)
  })

  it('stay as long as an upload may not have heard of the deletion', async () => {
    const young = await deletedBeforeACrash(HOUR_MS / 2)
    await filesOf(young, 2 * HOUR_MS)
    const written = await deletedBeforeACrash(2 * HOUR_MS)
    await filesOf(written, HOUR_MS / 2)

    await tidy()

    expect((await readdir(dir)).sort()).toEqual([young, written].sort())
    expect(await remembered()).toBe(2)
  })

  it('are nobody else’s: images that live, that were made again, or that this database does not know stay', async () => {
    const { id: living } = await activeImage(store, viewer)
    const again = await deletedBeforeACrash(2 * HOUR_MS)
    await store.create({ ...fields, id: again, owner: viewer.owner })
    const unknown = imageId(randomUUID())
    for (const id of [living, again, unknown]) await filesOf(id, 48 * HOUR_MS)

    await tidy()

    expect((await readdir(dir)).sort()).toEqual([living, again, unknown].sort())
    expect(logged).toEqual([])
  })

  it('may be gone already', async () => {
    await deletedBeforeACrash(2 * HOUR_MS)

    await tidy()

    expect(logged).toEqual([])
    expect(await remembered()).toBe(0)
  })

  it('are remembered again when an image of the same id is deleted again', async () => {
    const id = await deletedBeforeACrash(2 * HOUR_MS)
    await store.create({ ...fields, id, owner: viewer.owner })

    expect((await store.delete(viewer, id)).status).toBe('deleted')

    expect(await deletedImages(database.pool).list(HOUR_MS)).toEqual([])
    expect(await remembered()).toBe(1)
  })
})
