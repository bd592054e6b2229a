import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ownerId, taskId } from '../../../src/domain/ids.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import { createPool } from '../../../src/postgres/pool.ts'
import { taskLists } from '../../../src/postgres/task-lists.ts'
import { taskRecords } from '../../../src/postgres/task-records.ts'
import { migratedDatabase } from '../../support/database.ts'

const viewer = (admin: boolean): Viewer => ({ owner: ownerId('demo'), userId: 'u', roles: [], admin })
const query = { order: [{ key: 'created_at', direction: 'desc' }], limit: 26 } as const

let database: Awaited<ReturnType<typeof migratedDatabase>>
beforeAll(async () => {
  database = await migratedDatabase()
})
afterAll(() => database.close())

it.each([false, true])('tasks can be read by old connections after a migration, as an admin: %s', async (admin) => {
  const id = taskId(randomUUID())
  const pool = createPool({ url: database.url, max: 1, onError: () => {} })
  await pool.query(
    `insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, export_id, source, max_attempts,
                        deadline)
     values ($1, 'demo', 'u', 'req-1', $1, 'https://store.example.com/', 'raw', $1, '{}', 5, now())`,
    [id]
  )
  const { get } = taskRecords(pool, { maxAttempts: 1, deadlineMs: 1 })
  const { list, summaries } = taskLists(pool)
  const read = async () => [
    (await get(viewer(admin), id))?.id,
    (await list(viewer(admin), query))[0]?.id,
    (await summaries(viewer(admin), query))[0]?.id
  ]
  expect(await read()).toEqual([id, id, id])

  await database.pool.query(`alter table tasks add column later_${admin} text`)

  expect(await read()).toEqual([id, id, id])
  await pool.end()
})
