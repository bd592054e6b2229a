-- Up Migration
-- Whose turn it is. Projects take turns by start-time fair queueing (Goyal, Vin, Cheng: Start-time Fair Queuing, SIGCOMM 1996):
-- what a project has used is counted in bytes divided by its weight, the one that has used least is next, and one that comes
-- (back) starts where the others are, so that nobody saves up turns.

-- What the project whose turn it was last had used then. Never goes back.
create table share_clock (
  only_row boolean primary key default true check (only_row),
  used bigint not null
);
insert into share_clock (used) values (0);

-- A row for every project that has tasks which have not ended, and for those that have used more than the clock says.
create table project_shares (
  owner text primary key,
  used bigint not null,
  weight integer not null default 1 check (weight > 0), -- as at its last turn
  joined_at timestamptz not null default clock_timestamp()
);
create index project_shares_in_turn on project_shares (used, joined_at);

alter table tasks add column charge bigint; -- what the attempt under way has added to `used`

-- No attempt is free, or a project whose tasks fail at once would always be next.
create function export_cost(bytes double precision) returns bigint language sql immutable as $$
  select greatest(coalesce(bytes, 0), 67108864)::bigint
$$;

-- The project's row is there before its task, and held until the task is: whoever forgets idle projects takes it `for update`.
create function join_project() returns trigger language plpgsql as $$
begin
  loop
    perform from project_shares where owner = new.owner for key share;
    exit when found;
    insert into project_shares (owner, used) select new.owner, used from share_clock on conflict (owner) do nothing;
    exit when found;
  end loop;
  return new;
end $$;
create trigger tasks_join_their_project before insert on tasks for each row execute function join_project();

-- An attempt was charged for the whole image. When it gives its task back itself, only what it has sent counts. What the sweep
-- ends is left as it is: it ends many at once, and would have to hold their projects in one order.
create function correct_charge() returns trigger language plpgsql as $$
declare
  sent double precision := coalesce(old.progress->>'sent', '0')::double precision;
begin
  if new.status = 'success' then
    sent := case when new.result ? 'reused' then 0 else (new.result->>'bytes')::double precision end;
  end if;
  if old.lease_until >= now() then
    update project_shares
       set used = used - old.charge
                  + ceil(old.charge::numeric * export_cost(sent) / export_cost((old.source->>'size')::double precision))
     where owner = old.owner;
  end if;
  new.charge := null;
  return new;
end $$;
create trigger tasks_correct_charges before update of worker on tasks for each row
  when (old.charge is not null and new.worker is null) execute function correct_charge();

insert into project_shares (owner, used)
select distinct owner, 0 from tasks where status in ('queued', 'processing', 'transferring');

drop index tasks_by_rank;
create index tasks_in_turn on tasks (owner, rank, created_at) include (status, next_run_at)
  where status in ('queued', 'processing', 'transferring');
create index tasks_in_turn_by_host on tasks (owner, coalesce(destination_host, ''), rank, created_at)
  where status in ('queued', 'processing', 'transferring');
create index tasks_due on tasks (rank, created_at) where status in ('queued', 'processing', 'transferring');
create index tasks_running on tasks (owner) where status in ('processing', 'transferring');

-- Images that were deleted and whose files may still be there: only these are looked for.
create table deleted_images (
  id uuid primary key,
  deleted_at timestamptz not null default now()
);
