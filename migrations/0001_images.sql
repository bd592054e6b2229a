-- Up Migration

-- Images of the built-in store. A row is the truth about its image: the files of an upload count only while the row is
-- active and names that upload. Deleting an image deletes its row; tasks keep the id without a foreign key, because a task
-- that has ended outlives its image.
create table images (
  id uuid primary key,
  owner text not null,
  status text not null default 'queued' check (status in ('queued', 'saving', 'active', 'killed')),
  name text,
  disk_format text,
  container_format text,
  visibility text not null check (visibility in ('private', 'public')),
  protected boolean not null,
  min_disk integer not null check (min_disk >= 0),
  min_ram integer not null check (min_ram >= 0),
  tags text[] not null,
  properties jsonb not null check (jsonb_typeof(properties) = 'object'),
  size bigint check (size >= 0),
  virtual_size bigint check (virtual_size > 0),
  checksum text,
  sha512 text,
  -- the upload under way, or the one whose bytes are the image's
  upload_id uuid,
  -- when that upload last showed that it goes on
  upload_seen_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint images_active_is_complete check (
    status <> 'active'
    or num_nulls(size, virtual_size, checksum, sha512, upload_id, disk_format, container_format) = 0
  ),
  constraint images_saving_has_upload check (status <> 'saving' or num_nulls(upload_id, upload_seen_at) = 0)
);

create index images_newest on images (created_at desc, id desc);
create index images_newest_of_owner on images (owner, created_at desc, id desc);
