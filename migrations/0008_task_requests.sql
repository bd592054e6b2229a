-- Up Migration
-- What a client writes on its tasks and how it wants them handled, creates that happen once, and the use of quotas.
alter table tasks
  add column description text not null default '',
  add column metadata jsonb not null default '{}',
  add column priority text not null default 'normal' check (priority in ('low', 'normal', 'high')),
  add column keep_seconds integer check (keep_seconds > 0); -- how long it is kept after its end; null: as others are

-- Creates that were asked for with an Idempotency-Key.
create table idempotency_keys (
  owner text not null,
  operation text not null, -- method and path
  key text not null,
  print bytea not null, -- keyed hash of the body, credentials included
  task_id uuid not null, -- no foreign key: it outlives its task
  created_at timestamptz not null default now(),
  primary key (owner, operation, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- What the tasks of the last day count for, also when they have gone.
create table daily_exports (
  task_id uuid primary key,
  owner text not null,
  bytes bigint not null check (bytes >= 0),
  created_at timestamptz not null default now()
);
create index daily_exports_of_owner on daily_exports (owner, created_at);
create index daily_exports_by_age on daily_exports (created_at);
