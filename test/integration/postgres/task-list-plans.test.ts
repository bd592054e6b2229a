import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ownerId, type TaskId, taskId } from '../../../src/domain/ids.ts'
import type { Viewer } from '../../../src/domain/viewer.ts'
import { TASK_SORT_KEYS, type TaskQuery } from '../../../src/export/task-query.ts'
import { taskLists } from '../../../src/postgres/task-lists.ts'
import { migratedDatabase } from '../../support/database.ts'

// Half of the tasks are of one project and old, half are another's and new: whoever walks from the newest task backwards to
// find the old ones passes over all of the others first.
const EACH = 4000
const viewer = (owner: string, admin = false): Viewer => ({ owner: ownerId(owner), userId: 'u', roles: [], admin })

let database: Awaited<ReturnType<typeof migratedDatabase>>
let marker: TaskId
beforeAll(async () => {
  database = await migratedDatabase()
  for (const [owner, year] of [
    ['old', 2010],
    ['new', 2020]
  ])
    await database.pool.query(
      `insert into tasks (id, owner, user_id, request_id, image_id, export_to, export_format, export_id, source, max_attempts,
                          deadline, next_run_at, created_at, updated_at)
       select gen_random_uuid(), $1, 'u', 'req-1', $2, 'https://store.example.com/', 'raw', gen_random_uuid(), '{}', 5,
              now(), now(), time, time
         from generate_series(1, $3) as i, make_timestamptz($4, 1, 1, 0, 0, i::float / 100) as time`,
      [owner, randomUUID(), EACH, year]
    )
  await database.pool.query('vacuum analyze tasks')
  const { rows } = await database.pool.query(
    `select id from tasks where owner = 'old' order by created_at offset 2000 limit 1`
  )
  marker = taskId(rows[0].id)
})
afterAll(() => database.close())

/** Rows that the list read and did not give out. */
async function wasted(who: Viewer, query: Omit<TaskQuery, 'limit'>): Promise<number> {
  const asked: pg.QueryConfig[] = []
  const pool = Object.create(database.pool, {
    query: {
      value: (config: pg.QueryConfig) => {
        asked.push(config)
        return database.pool.query(config)
      }
    }
  })
  const given = await taskLists(pool).summaries(who, { ...query, limit: 26 })
  expect(given).toHaveLength(26)
  const [statement] = asked
  const { rows } = await database.pool.query(`explain (analyze, format json) ${statement?.text}`, statement?.values)
  return removed(rows[0]['QUERY PLAN'][0].Plan)
}

type Plan = {
  readonly 'Node Type': string
  readonly 'Rows Removed by Filter'?: number
  readonly Plans?: readonly Plan[]
}
const removed = ({ 'Node Type': type, 'Rows Removed by Filter': rows = 0, Plans = [] }: Plan): number =>
  (type === 'Sort' ? Number.POSITIVE_INFINITY : rows) + Plans.reduce((sum, plan) => sum + removed(plan), 0)

const orders = TASK_SORT_KEYS.flatMap((key) => (['asc', 'desc'] as const).map((direction) => [key, direction] as const))

it.each(orders)("a project's page by %s %s reads nobody else's tasks", async (key, direction) => {
  const order = [{ key, direction }]

  expect(await wasted(viewer('old'), { order })).toBe(0)
  expect(await wasted(viewer('new'), { order })).toBe(0)
  expect(await wasted(viewer('old'), { order, marker })).toBe(0)
  expect(await wasted(viewer('ops', true), { order, owner: ownerId('old') })).toBe(0)
})

it.each(orders)("a page of everybody's by %s %s is read from an index", async (key, direction) => {
  const order = [{ key, direction }]

  expect(await wasted(viewer('ops', true), { order })).toBe(0)
  expect(await wasted(viewer('ops', true), { order, marker })).toBe(0)
})
