const MOST_COUNTED = 1000

const WAITS = `other.status = 'queued' and other.next_run_at <= now()`

/**
 * How many tasks that wait will be claimed before the one of the row `tasks`, never more than 1000: those before it in its own
 * project, and of every other project those whose turns come before its own. It is exact if all that wait are as large as this
 * one and nothing comes or ends meanwhile; limits of hosts and projects are left out. Counted in indexes, one look at each
 * project that has a turn before.
 *
 * The turn of a task is what its project will have used when it is claimed, `share.used` in claim-task.ts; of equal turns the
 * project that has been there longer is first.
 */
export const AHEAD = `(
  select least(${MOST_COUNTED}, mine.count + theirs.count)::integer
    from share_clock as clock
    left join project_shares as share on share.owner = tasks.owner
   cross join lateral (
     select count(*) from (
       select from tasks as other
        where other.owner = tasks.owner and ${WAITS} and (other.rank, other.created_at) < (tasks.rank, tasks.created_at)
        limit ${MOST_COUNTED}) as before) as mine
   cross join lateral (
     select export_cost((tasks.source->>'size')::double precision) as cost, coalesce(share.weight, 1) as weight,
            coalesce(share.used, clock.used) as used, coalesce(share.joined_at, 'infinity') as joined_at) as own
   cross join lateral (
     select greatest(clock.used, own.used) + mine.count * ((own.cost + own.weight - 1) / own.weight) as at) as turn
   cross join lateral (
     select count(*) from (
       select from project_shares as rival
        cross join lateral (
          select greatest(0, turn.at - greatest(clock.used, rival.used)) as gap,
                 (own.cost + rival.weight - 1) / rival.weight as step) as their
        cross join lateral (
          select from tasks as other where other.owner = rival.owner and ${WAITS}
           limit (their.gap + their.step - 1) / their.step
                 + case when their.gap % their.step = 0
                         and (case when their.gap = 0 then rival.used else turn.at end, rival.joined_at)
                           < (case when mine.count = 0 then own.used else turn.at end, own.joined_at)
                        then 1 else 0 end) as other
        where rival.owner <> tasks.owner and rival.used <= turn.at
        limit ${MOST_COUNTED}) as before) as theirs)`
