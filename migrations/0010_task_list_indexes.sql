-- Up Migration
-- The indexes without an owner in front serve lists of all projects' tasks, and nothing else: where one project's are wanted,
-- the planner would sometimes walk one of these and pass over everybody else's newer tasks. The condition holds for every row;
-- only statements that name it can use them.
drop index tasks_by_age;
drop index tasks_by_change;
drop index tasks_by_status;
drop index tasks_by_expiry;
create index tasks_by_age on tasks (created_at, id) where lease_epoch >= 0;
create index tasks_by_change on tasks (updated_at, created_at, id) where lease_epoch >= 0;
create index tasks_by_status on tasks (status, created_at, id) where lease_epoch >= 0;
create index tasks_by_expiry on tasks (coalesce(expires_at, 'infinity'), created_at, id) where lease_epoch >= 0;
