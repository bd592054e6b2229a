-- Up Migration
-- Of two tasks that have not ended only one writes to a name. It is held from before the first byte until the task ends,
-- which needs no statement of its own: the index knows only tasks that have not.
alter table tasks add column object_name text; -- SHA-256 of the object's URL in one spelling, with its suffix; see object-name.ts

create unique index tasks_hold_names on tasks (object_name)
  where object_name is not null and status in ('queued', 'processing', 'transferring');
