-- Up Migration
-- Lists of tasks: what they can be filtered by, and one index for each order, so that any page of any of them is a seek.
alter table tasks
  add column tags text[] not null default '{}',
  -- host, and port if there is one, of export_to
  add column destination_host text
    generated always as (lower(substring(export_to from '^[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)'))) stored;

drop index tasks_by_owner;
drop index tasks_by_age;
create index tasks_of_owner_by_age on tasks (owner, created_at, id);
create index tasks_of_owner_by_change on tasks (owner, updated_at, created_at, id);
create index tasks_of_owner_by_status on tasks (owner, status, created_at, id);
create index tasks_of_owner_by_expiry on tasks (owner, coalesce(expires_at, 'infinity'), created_at, id);
create index tasks_by_age on tasks (created_at, id);
create index tasks_by_change on tasks (updated_at, created_at, id);
create index tasks_by_status on tasks (status, created_at, id);
create index tasks_by_expiry on tasks (coalesce(expires_at, 'infinity'), created_at, id);
create index tasks_of_image on tasks (image_id, created_at, id);
create index tasks_with_tags on tasks using gin (tags) where tags <> '{}';
