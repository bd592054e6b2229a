-- Up Migration
-- Tasks: the only truth about exports. A row that is not at its end is also the image's deletion lock.
create table tasks (
  id uuid primary key,
  owner text not null,
  user_id text not null,
  request_id text not null,
  image_id uuid not null, -- no foreign key: a task outlives its image
  status text not null default 'queued'
    check (status in ('queued', 'processing', 'transferring', 'success', 'failure')),
  export_to text not null,
  export_format text not null,
  format_options jsonb not null default '{}',
  export_id uuid not null,
  source jsonb not null, -- the image as it was at create: disk_format, size, sha512

  -- credentials, sealed; gone when the task ends
  credentials_kind text,
  credentials_key_id text,
  credentials_wrapped_key bytea,
  credentials_ciphertext bytea,
  constraint ended_tasks_hold_no_credentials check (
    status not in ('success', 'failure')
    or (credentials_key_id is null and credentials_wrapped_key is null and credentials_ciphertext is null)
  ),

  -- the attempt
  lease_epoch integer not null default 0,
  lease_until timestamptz,
  worker text,
  attempts integer not null default 0,
  max_attempts integer not null,
  next_run_at timestamptz not null default now(),
  deadline timestamptz not null,
  upload_state jsonb, -- what has to be removed at the destination if the worker dies
  progress jsonb,

  -- the outcome
  message text not null default '',
  result jsonb,
  failure jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  expires_at timestamptz,
  constraint ended_tasks_expire check ((status in ('success', 'failure')) = (expires_at is not null)),
  constraint success_has_a_result check (status <> 'success' or result is not null),
  constraint failure_has_a_reason check (status <> 'failure' or (failure is not null and message <> ''))
);

create index tasks_by_owner on tasks (owner, created_at desc, id desc);
create index tasks_by_age on tasks (created_at desc, id desc);
create index tasks_holding_images on tasks (image_id) where status in ('queued', 'processing', 'transferring');
create index tasks_due on tasks (next_run_at) where status in ('queued', 'processing', 'transferring');
create index tasks_expiring on tasks (expires_at) where expires_at is not null;
