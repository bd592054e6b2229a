-- Up Migration

-- Which credentials a task was given, for its user: short, keyed, and kept when they are wiped.
alter table tasks
  add column credentials_fingerprint text,
  add constraint fingerprints_are_of_credentials check (credentials_fingerprint is null or credentials_kind is not null);
