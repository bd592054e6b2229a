-- Up Migration
-- Which task is next: the one that has been due longest, where a priority counts for half an hour, so that nothing starves.
alter table tasks add column rank timestamp not null generated always as (
  (next_run_at at time zone 'UTC')
  + case priority when 'high' then interval '-30 minutes' when 'low' then interval '30 minutes' else interval '0' end
) stored;

drop index tasks_due;
create index tasks_by_rank on tasks (rank, created_at) include (status, next_run_at)
  where status in ('queued', 'processing', 'transferring');
