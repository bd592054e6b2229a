import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ImageId, taskId } from '../../../src/domain/ids.ts'
import type { ImageStore } from '../../../src/library/ports.ts'
import { imageStore } from '../../../src/postgres/image-store.ts'
import { inTransaction } from '../../../src/postgres/pool.ts'
import { migratedDatabase } from '../../support/database.ts'
import { activeImage, insertTask, memberOf } from './image-rows.ts'

const viewer = memberOf('p1')
let database: Awaited<ReturnType<typeof migratedDatabase>>
let store: ImageStore
beforeAll(async () => {
  database = await migratedDatabase()
  store = imageStore(database.pool)
})
afterAll(() => database.close())

/** The rule that whoever creates tasks keeps, see image-lock.test.ts for the real one: the row is held by `for share` from the look at it until the task is there. */
const createTask = (image: ImageId, meanwhile: () => Promise<unknown> = async () => {}): Promise<boolean> =>
  inTransaction(database.pool, async (client) => {
    const { rowCount } = await client.query(`select from images where id = $1 and status = 'active' for share`, [image])
    await meanwhile()
    if (rowCount === 0) return false
    await insertTask(client, image)
    return true
  })

it('makes a delete wait for a task that is being created, and then see it', async () => {
  const { id } = await activeImage(store, viewer)
  let deleting: ReturnType<ImageStore['delete']> | undefined

  await createTask(id, async () => {
    deleting = store.delete(viewer, id)
    await untilSomebodyWaits()
  })

  const { rows } = await database.pool.query<{ id: string }>('select id from tasks where image_id = $1', [id])
  expect(await deleting).toEqual({
    status: 'in_use',
    tasks: rows.map((row) => taskId(row.id)),
    tempUrls: [],
    others: false
  })
})

it('deletes after a create that was rolled back', async () => {
  const { id } = await activeImage(store, viewer)
  let deleting: ReturnType<ImageStore['delete']> | undefined

  const failed = createTask(id, async () => {
    deleting = store.delete(viewer, id)
    await untilSomebodyWaits()
    throw new Error('created nothing')
  })

  await expect(failed).rejects.toThrow('created nothing')
  expect(await deleting).toMatchObject({ status: 'deleted' })
})

async function untilSomebodyWaits(): Promise<void> {
  for (;;) {
    const { rowCount } = await database.pool.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    )
    if (rowCount) return
  }
}
