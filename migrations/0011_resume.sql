-- Up Migration
-- Uploads that the next attempt goes on with: what was being sent, and which parts of it the destination has confirmed.
alter table tasks
  add column upload_identity text; -- equal only for the same bytes in the same place; null: not to be gone on with

-- One row for every part that was begun.
create table upload_parts (
  task_id uuid not null references tasks (id) on delete cascade,
  number integer not null check (number >= 1),
  bytes bigint check (bytes >= 0), -- null until the destination has confirmed it
  tag text, -- the destination's name for its bytes, where it has one
  primary key (task_id, number)
);

-- The parts are those of the upload in the task's row: when that names another one, or none as at its end, they are gone.
create function forget_parts() returns trigger language plpgsql as $$
begin
  delete from upload_parts where task_id = new.id;
  return null;
end $$;
create trigger tasks_forget_parts after update of upload_state on tasks for each row
  when (old.upload_state is not null and old.upload_state is distinct from new.upload_state)
  execute function forget_parts();
