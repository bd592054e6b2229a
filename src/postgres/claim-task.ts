import type pg from 'pg'
import type { Fairness } from '../export/fairness.ts'
import { inTransaction } from './pool.ts'
import { TASK_COLUMNS, type TaskRow } from './task-row.ts'
import { keptProgress, millis, ONGOING } from './task-sql.ts'
import { DUE, full, HOST } from './turn-sql.ts'

export type ClaimRow = TaskRow & { readonly late: boolean; readonly ms_left: string }

type ClaimSettings = { readonly leaseMs: number; readonly fairness: Fairness }

/**
 * Gives the next task to a worker: of the project that has used least for its weight, the task that has been due longest, where
 * a priority counts for half an hour. What its limits hold back is passed over.
 *
 * Claims take turns, so that each counts what the one before it has taken. They take a millisecond or two and an export takes
 * seconds at least; without turns the limits would be guesses, and one that others overtake would find nothing although
 * something is due.
 */
export const claimTask = (pool: pg.Pool, workerId: string, settings: ClaimSettings): Promise<ClaimRow | undefined> =>
  inTransaction(pool, async (client) => {
    await client.query(TURN)
    // A task that somebody is about to change is passed over, unless it is the only one: its ring has been answered by now.
    return (await takeNext(client, workerId, settings, 'skip locked')) ?? takeNext(client, workerId, settings, '')
  })

/** A worker that stops in its turn is not waited for any longer than others wait for a lock. */
const TURN = `select set_config('idle_in_transaction_session_timeout', '2s', true),
  pg_advisory_xact_lock(hashtextextended('glance-export claim', 0))`

async function takeNext(
  client: pg.PoolClient,
  workerId: string,
  { leaseMs, fairness }: ClaimSettings,
  others: 'skip locked' | ''
): Promise<ClaimRow | undefined> {
  const { weights, hostConcurrency, projectConcurrency } = fairness
  const { rows } = await client.query<ClaimRow>({
    name: `claim ${others} ${hostConcurrency > 0}`,
    text: claimStatement(hostConcurrency > 0 ? nextOfFreeHosts(others) : nextOfProject(others)),
    values: [workerId, leaseMs, JSON.stringify(weights), hostConcurrency, projectConcurrency]
  })
  return rows[0]
}

const CLAIMED = [...TASK_COLUMNS, 'upload_identity'].map((name) => `tasks.${name}`).join(', ')

const nextOf = (condition: string, others: string) => `
  select id, rank, created_at, source from tasks
   where ${condition} and ${DUE}
   order by rank, created_at
   limit 1
     for update ${others}`

const nextOfProject = (others: string) => nextOf('owner = share.owner', others)

/** Looks at each host of the project once, however many tasks there are behind one that is full. */
const nextOfFreeHosts = (others: string) => `
  with recursive hosts (host) as (
    select min(${HOST}) from tasks where owner = share.owner and ${ONGOING}
    union all
    select (select min(${HOST}) from tasks where owner = share.owner and ${ONGOING} and ${HOST} > hosts.host)
      from hosts where hosts.host is not null
  )
  select head.* from hosts
   cross join lateral (${nextOf(`owner = share.owner and ${HOST} = hosts.host`, others)}) as head
   where hosts.host not in (select host from full_hosts)
   order by head.rank, head.created_at
   limit 1`

/** The lease ran out while the database was away, so that nobody could renew it: no attempt of the task's is to blame. */
const OUTLASTED = 'tasks.lease_until < pg_postmaster_start_time()'

/** @param next the task to be taken of the project `share`, if there is one */
const claimStatement = (next: string) => `
with ${full('$4', '$5')}, next as materialized (
  select head.id, share.owner, greatest(share.used, share_clock.used) as used, share_clock.used as clock, weighed.weight,
         (weighed.cost + weighed.weight - 1) / weighed.weight as charge
    from share_clock
   cross join (select * from project_shares order by used, joined_at) as share
   cross join lateral (${next}) as head
   cross join lateral (select coalesce(($3::jsonb->>share.owner)::integer, 1) as weight,
                              export_cost((head.source->>'size')::double precision) as cost) as weighed
   where share.owner not in (select owner from full_projects)
   order by share.used, share.joined_at
   limit 1
), charged as (
  -- Of the row as it is when it is held: another task of the project may have ended since it was looked at.
  update project_shares set used = greatest(project_shares.used, next.clock) + next.charge, weight = next.weight
    from next where project_shares.owner = next.owner
), ticked as (
  update share_clock set used = next.used from next
)
update tasks
   set status = 'processing', lease_epoch = lease_epoch + 1, worker = $1, charge = next.charge,
       attempts = attempts + case when ${OUTLASTED} then 0 else 1 end,
       lease_until = statement_timestamp() + ${millis('$2')},
       started_at = coalesce(started_at, now()), updated_at = now(),
       progress = ${keptProgress('false')}
  from next
 where tasks.id = next.id
returning ${CLAIMED}, now() >= deadline as late, extract(epoch from deadline - now()) * 1000 as ms_left`
