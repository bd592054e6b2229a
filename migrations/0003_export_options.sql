-- Up Migration
-- What a task may ask for besides the specification's fields, and what became of it.
alter table tasks
  add column options jsonb not null
    default '{"object":{},"checksums":[],"contentHash":false,"sidecars":[],"verify":"etag","limits":{},"tempUrl":{}}',
  add column object_url text, -- of the object, without a suffix; null in older rows: <export_to>/<export_id>
  add column object_suffix integer not null default 0, -- the policy `suffix` has chosen <name>-<n>
  add column sent jsonb, -- the file whose commit has begun: a later attempt may find it complete
  add column warnings jsonb not null default '[]',
  add column cleanup jsonb;
