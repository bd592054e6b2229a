-- Up Migration
-- What an export has taken out of its image, and what it has left: for its user and for an auditor.
alter table tasks
  add column scrub_report jsonb;
