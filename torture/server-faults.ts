import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Fault, FaultUses } from './fault.ts'
import type { LineState } from './line.ts'

async function lineFault(uses: FaultUses, line: 'database' | 'queue', state: LineState): Promise<void> {
  const { ground, random, leaseMs } = uses
  const way = random.pick([ground.http, ...ground.workers, ...ground.workers])[line]
  way?.set(state)
  await sleep(leaseMs + random.integer(0, 3000))
  way?.set('open')
}

/** Breaks Redis by a command, and mends it by another some time later. */
const redisFault =
  (ms: number, broken: readonly [string, ...string[]], mended?: readonly [string, ...string[]]): Fault['happen'] =>
  async ({ ground: { redis } }) =>
    redis?.inTurn(async () => {
      await redis.command((client) => client.call(...broken))
      await sleep(ms)
      if (mended) await redis.command((client) => client.call(...mended))
    })

/** What happens to the queue and to the lines that lead there. */
const QUEUE_FAULTS = {
  'the queue loses everything': {
    perMinute: 1.5,
    async happen({ ground }) {
      const { redis, database } = ground
      // While the database is away there is nothing to empty either.
      await (redis ?? database).inTurn(() => ground.flushQueue().catch(() => {}))
    }
  },
  'Redis killed, and started empty': {
    perMinute: 1,
    happen: async ({ ground: { redis }, random }) => redis?.inTurn(() => redis.outage(random.integer(0, 4000)))
  },
  'Redis killed, and started with an old dump': {
    perMinute: 0.35,
    happen: async ({ ground: { redis } }) =>
      redis?.inTurn(async () => {
        await redis.command((client) => client.call('SAVE'))
        await sleep(3000)
        await redis.outage(0)
        await redis.forget()
      })
  },
  'Redis stopped, then continued': {
    perMinute: 0.35,
    happen: async ({ ground: { redis } }) => redis?.inTurn(() => redis.freeze(6000))
  },
  'Redis makes everybody wait': { perMinute: 0.35, happen: redisFault(4000, ['CLIENT', 'PAUSE', '4000']) },
  'Redis drops all connections': { perMinute: 0.35, happen: redisFault(0, ['CLIENT', 'KILL', 'TYPE', 'normal']) },
  'Redis has no memory left': {
    perMinute: 0.35,
    happen: redisFault(4000, ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0'])
  },
  'Redis takes no writes': {
    perMinute: 0.35,
    happen: redisFault(4000, ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE'])
  },
  'Redis does not answer a process': {
    perMinute: 0.7,
    happen: (uses) => lineFault(uses, 'queue', 'silent')
  }
} as const satisfies Readonly<Record<string, Fault>>

/** What happens to the database and to the lines that lead there. */
const DATABASE_FAULTS = {
  'database killed, and started again': {
    perMinute: 0.7,
    happen: ({ ground: { database }, random }) => database.inTurn(() => database.outage(random.integer(0, 3000)))
  },
  'a process is cut off from the database': {
    perMinute: 0.7,
    happen: (uses) => lineFault(uses, 'database', 'cut')
  },
  'the database does not answer a process': {
    perMinute: 0.7,
    happen: (uses) => lineFault(uses, 'database', 'silent')
  },
  'the database answers a process slowly': {
    perMinute: 0.7,
    happen: (uses) => lineFault(uses, 'database', 'slow')
  },
  'the database takes no more connections': {
    perMinute: 0.35,
    happen: ({ ground: { database, history } }) =>
      database.inTurn(async () => {
        const taken = new pg.Pool({ ...history.pool.options, max: 200 })
        taken.on('error', () => {})
        await Promise.allSettled(Array.from({ length: 200 }, () => taken.query('select pg_sleep(4)')))
        await taken.end()
      })
  },
  'all tasks are locked by somebody': {
    perMinute: 0.35,
    happen: ({ ground: { database, history } }) =>
      database.inTurn(() =>
        history.rows('with all_tasks as (select from tasks for update) select count(*), pg_sleep(5) from all_tasks')
      )
  },
  'the database is read only': {
    perMinute: 0.35,
    happen: ({ ground: { database, history } }) =>
      database.inTurn(async () => {
        await history.pool.query('alter system set default_transaction_read_only = on')
        await history.pool.query('select pg_reload_conf()')
        await sleep(4000)
        await history.pool.query('alter system reset default_transaction_read_only')
        await history.pool.query('select pg_reload_conf()')
      })
  }
} as const satisfies Readonly<Record<string, Fault>>

export const SERVER_FAULTS = { ...QUEUE_FAULTS, ...DATABASE_FAULTS }
