-- Up Migration
-- What happens to a task while it lives: it is watched, canceled, and tried again as a new one.
alter table tasks
  add column version integer not null default 1, -- one up whenever updated_at is set: a lease that is held on is no news
  add column cancel_requested_at timestamptz, -- from then on it can only end as canceled
  add column canceled_by text check (canceled_by in ('user', 'operator')),
  add column cancel_reason text,
  add column retry_of uuid, -- no foreign key: it outlives the task that it repeats
  add constraint cancels_are_by_somebody check ((cancel_requested_at is null) = (canceled_by is null)),
  add constraint canceled_tasks_do_not_succeed check (cancel_requested_at is null or status <> 'success');

create function count_version() returns trigger language plpgsql as $$
begin
  new.version := old.version + 1;
  return new;
end $$;
create trigger tasks_count_versions before update of updated_at on tasks for each row execute function count_version();

-- One retry of a task at a time.
create unique index tasks_retried_now on tasks (retry_of)
  where retry_of is not null and status in ('queued', 'processing', 'transferring');
