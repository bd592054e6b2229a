import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Log } from '../../../src/export/ports.ts'
import { sweepTasks } from '../../../src/export/sweep-tasks.ts'
import type { QueueBackend } from '../../../src/queue/backend.ts'
import { createExportQueue } from '../../../src/queue/export-queue.ts'
import { startExportWorker } from '../../../src/queue/export-worker.ts'
import { freshRedis } from '../../support/redis.ts'
import { RESULT, taskRows } from '../postgres/task-rows.ts'

const rows = taskRows()
const quiet: Log = { info() {}, warn() {}, error() {} }
const never = async () => {}

/** A place for jobs, and how everything in it gets lost, as by FLUSHALL. */
type Place = { readonly backend: QueueBackend; readonly lose: () => Promise<unknown> }

const PLACES: Readonly<Record<string, () => Promise<Place>>> = {
  PostgreSQL: async () => {
    const { rows: found } = await rows.pool.query<{ name: string }>(
      `select string_agg('bullmq.' || tablename, ', ') as name from pg_tables
        where schemaname = 'bullmq' and tablename <> 'migration'`
    )
    const tables = found[0]?.name
    return { backend: { kind: 'postgres', url: rows.url }, lose: () => rows.pool.query(`truncate ${tables}`) }
  },
  Redis: async () => {
    const { url, prefix } = freshRedis()
    const lose = async () => {
      const redis = new Redis(url)
      const keys = await redis.keys(`${prefix}:*`)
      if (keys.length === 0) throw new Error('there was nothing to lose')
      await redis.del(...keys)
      redis.disconnect()
    }
    return { backend: { kind: 'redis', url, prefix }, lose }
  }
}

describe.each(Object.keys(PLACES))('when all jobs on %s are lost', (name) => {
  let place: Place
  let open: { close(): Promise<void> }[]
  let ran: Record<string, string[]>
  beforeEach(async () => {
    const prepare = PLACES[name]
    if (!prepare) throw new Error(name)
    place = await prepare()
    open = []
    ran = {}
  })
  afterEach(async () => {
    for (const part of open.reverse()) await part.close()
  })

  const theQueue = () => {
    const queue = createExportQueue(place.backend, quiet)
    open.push(queue)
    return queue
  }
  /** Runs one task a turn, each as long as `until` lasts; it does not sweep unless it is told to. */
  const aWorker = async (worker: string, { until = Promise.resolve(), sweep = never } = {}) => {
    const runNext = async () => {
      const claim = await rows.store.claimDue(worker)
      if (!claim) return 'idle' as const
      ran[worker] = [...(ran[worker] ?? []), claim.task.id]
      await until
      await rows.store.settleSuccess(claim, RESULT)
      return 'ran' as const
    }
    const settings = { backend: place.backend, concurrency: 2, sweepMs: 3_600_000, tidy: never, log: quiet }
    open.push(await startExportWorker({ ...settings, sweep, runNext }))
  }
  const waiting = async (): Promise<number> => {
    const { rows: found } = await rows.pool.query(`select from tasks where status <> 'success'`)
    return found.length
  }
  const rungTasks = async (queue: ReturnType<typeof theQueue>, count: number) => {
    for (let n = 0; n < count; n++) await queue.ring({ taskId: await rows.create(), epoch: 0 })
  }

  it('every task ends all the same, after one sweep', async () => {
    const queue = theQueue()
    await rungTasks(queue, 12)
    await place.lose()
    let sweeps = 0
    const sweep = sweepTasks({ tasks: rows.store, queue, log: quiet })

    await aWorker('one', {
      sweep: async () => {
        sweeps++
        await sweep()
      }
    })

    await expect.poll(waiting, { timeout: 20_000 }).toBe(0)
    expect(sweeps).toBe(1)
    expect(new Set(ran.one).size).toBe(12)
    expect(ran.one).toHaveLength(12)
  })

  it('workers that are running go on, and idle ones hear of the rest from one sweep', async () => {
    const queue = theQueue()
    const held = Promise.withResolvers<void>()
    await aWorker('busy', { until: held.promise })
    await rungTasks(queue, 2)
    await expect.poll(() => ran.busy?.length, { timeout: 20_000 }).toBe(2)
    for (let n = 0; n < 6; n++) await rows.create() // their rings are among what is lost
    await place.lose()
    await aWorker('idle')

    await sweepTasks({ tasks: rows.store, queue, log: quiet })()

    await expect.poll(() => ran.idle?.length, { timeout: 20_000 }).toBe(6)
    held.resolve()
    await expect.poll(waiting, { timeout: 20_000 }).toBe(0)
    expect(new Set([...(ran.busy ?? []), ...(ran.idle ?? [])]).size).toBe(8)
    await rungTasks(queue, 1)
    await expect.poll(waiting, { timeout: 20_000 }).toBe(0)
  })

  it('a task whose ring was answered with another one is not left until that has ended', async () => {
    // An older task comes due again, which nobody has rung for, and is given to the worker that answers the ring of a new one.
    const queue = theQueue()
    const held = Promise.withResolvers<void>()
    const retried = await rows.create()
    await rows.pool.query(`update tasks set next_run_at = now() - interval '1 minute' where id = $1`, [retried])
    await aWorker('busy', { until: held.promise })
    const fresh = await rows.create()
    await queue.ring({ taskId: fresh, epoch: 0 })
    await expect.poll(() => ran.busy, { timeout: 20_000 }).toEqual([retried])

    await sweepTasks({ tasks: rows.store, queue, log: quiet })()

    await expect.poll(() => ran.busy, { timeout: 20_000 }).toEqual([retried, fresh])
    held.resolve()
    await expect.poll(waiting, { timeout: 20_000 }).toBe(0)
  })
})
