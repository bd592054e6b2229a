import type pg from 'pg'
import { LeaseLost, type TaskStore } from '../export/ports.ts'
import { toJson } from './task-sql.ts'

/** Which live task writes which object: an index lets only one of them have a name. See migration 0014. */
export function objectNames(pool: pg.Pool): Pick<TaskStore, 'takeName'> {
  return {
    async takeName({ task, epoch }, { suffix, name, warnings }) {
      const taking = pool.query(
        `update tasks set updated_at = now(), object_suffix = $3, object_name = $4, warnings = $5
          where id = $1 and lease_epoch = $2 and status in ('processing', 'transferring')
         returning id`,
        [task.id, epoch, suffix, name, toJson(warnings)]
      )
      const rows = await taking.then((done) => done.rows, unlessTaken)
      if (rows?.length === 0) throw new LeaseLost(`the lease ${epoch} of task ${task.id} is over`)
      return rows !== undefined
    }
  }
}

function unlessTaken(error: unknown): undefined {
  if (Object(error).constraint !== 'tasks_hold_names') throw error
}
