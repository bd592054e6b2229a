-- Up Migration
-- Exported files that are downloaded from here by a signed URL. While a virtual one lives its image is locked.
create table temp_urls (
  task_id uuid primary key, -- no foreign key: a download under way outlives its task
  owner text not null,
  image_id uuid not null,
  file_name text not null,
  bytes bigint not null check (bytes > 0),
  sha256 text not null,
  virtual boolean not null, -- made from the image whenever it is read; otherwise kept as a file
  layout_version integer not null,
  generation integer not null default 1, -- URLs signed with an earlier one are void
  ip_range text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null, -- that of the task, always
  revoked_at timestamptz,
  files_removed_at timestamptz
);

create index temp_urls_holding_images on temp_urls (image_id) where virtual and revoked_at is null;
create index temp_urls_expiring on temp_urls (expires_at);
create index temp_urls_revoked on temp_urls (revoked_at) where revoked_at is not null and files_removed_at is null;

create table downloads (
  id bigint generated always as identity primary key,
  task_id uuid not null references temp_urls on delete cascade,
  client text not null,
  status smallint not null,
  range_from bigint not null,
  range_to bigint not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(), -- when it last showed that it goes on
  finished_at timestamptz,
  bytes_sent bigint not null default 0,
  complete boolean not null default false
);

create index downloads_of_task on downloads (task_id, id);
