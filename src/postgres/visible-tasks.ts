import type pg from 'pg'
import type { TaskId } from '../domain/ids.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { TaskRow } from './task-row.ts'

/** The condition for what a caller may see: the own project's tasks, all of them for an admin, and none that has expired. */
export function visibleTo(viewer: Viewer, add: (value: unknown) => string): string {
  const fresh = '(expires_at is null or expires_at > now())'
  return viewer.admin ? fresh : `owner = ${add(viewer.owner)} and ${fresh}`
}

/** A task that the caller may see, held until the transaction ends. */
export async function lockTask(client: pg.PoolClient, viewer: Viewer, id: TaskId): Promise<TaskRow | undefined> {
  const values: unknown[] = [id]
  const visible = visibleTo(viewer, (value) => `$${values.push(value)}`)
  const { rows } = await client.query<TaskRow>(`select * from tasks where id = $1 and ${visible} for update`, values)
  return rows[0]
}
