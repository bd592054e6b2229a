import type pg from 'pg'
import type { TaskStore } from '../export/ports.ts'

/** Enough to even out a slow night. */
const LAST_EXPORTS = 20
/** Further back is not looked for them: a project may have a million tasks, and none to this place. */
const MOST_LOOKED_AT = 1000

/** How fast earlier exports went, of the same project only: others' exports are none of its business. */
export function taskPace(pool: pg.Pool): Pick<TaskStore, 'pace'> {
  return {
    async pace(owner, origin) {
      const { rows } = await pool.query<{ exports: number; bytes: string | null; seconds: string | null }>(
        `select count(*)::int as exports, sum(bytes) as bytes, sum(seconds) as seconds
           from (select (result->>'bytes')::numeric as bytes, (result->>'durationSeconds')::numeric as seconds
                   from (select export_to, result, created_at from tasks
                          where owner = $1 and status = 'success'
                          order by created_at desc
                          limit ${MOST_LOOKED_AT}) as recent
                  where starts_with(export_to || '/', $2 || '/') and result->>'reused' is null
                  order by created_at desc
                  limit ${LAST_EXPORTS}) as last`,
        [owner, origin]
      )
      const { exports = 0, bytes, seconds } = rows[0] ?? {}
      if (exports === 0 || !(Number(seconds) > 0)) return undefined
      return { exports, bytesPerSecond: Math.max(1, Number(bytes) / Number(seconds)) }
    }
  }
}
