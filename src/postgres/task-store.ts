import type pg from 'pg'
import type { TaskStore } from '../export/ports.ts'
import { objectNames } from './object-names.ts'
import { taskCancel } from './task-cancel.ts'
import { taskChanges } from './task-changes.ts'
import { type LeaseSettings, taskLeases } from './task-leases.ts'
import { taskLists } from './task-lists.ts'
import { taskPace } from './task-pace.ts'
import { type TaskLimits, taskRecords } from './task-records.ts'
import { taskSweep } from './task-sweep.ts'
import { uploadParts } from './upload-parts.ts'

/** Tasks in Postgres: what clients create and read, and what workers claim and settle. */
export const createTaskStore = (pool: pg.Pool, settings: TaskLimits & LeaseSettings): TaskStore => ({
  ...taskRecords(pool, settings),
  ...taskLists(pool),
  ...taskPace(pool),
  ...taskCancel(pool, settings),
  ...taskChanges(pool),
  ...taskLeases(pool, settings),
  ...objectNames(pool),
  ...uploadParts(pool),
  ...taskSweep(pool, settings)
})
