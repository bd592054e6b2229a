-- Up Migration
-- What a project has exported in the last day: its tasks tell it themselves, and leave it behind when they go. So a create, of
-- which there are many, writes no row for it, and a removal does.
delete from daily_exports where task_id in (select id from tasks);
alter table daily_exports rename to removed_exports;
alter index daily_exports_pkey rename to removed_exports_pkey;
alter index daily_exports_of_owner rename to removed_exports_of_owner;
alter index daily_exports_by_age rename to removed_exports_by_age;

/* The file's length once it is known, until then the image's. */
create function export_bytes(task tasks) returns bigint language sql stable as $$
  select coalesce((task.result->>'bytes')::bigint, (task.source->>'size')::bigint, 0)
$$;

create function leave_bytes_behind() returns trigger language plpgsql as $$
begin
  insert into removed_exports (task_id, owner, bytes, created_at) values (old.id, old.owner, export_bytes(old), old.created_at);
  return null;
end $$;
create trigger tasks_leave_their_bytes after delete on tasks for each row
  when (old.created_at > now() - interval '24 hours') execute function leave_bytes_behind();
