import type pg from 'pg'
import { type BegunPart, LeaseLost, type TaskStore } from '../export/ports.ts'

type PartRow = { readonly number: number; readonly bytes: string | null; readonly tag: string | null }

/**
 * The parts of the upload that a task is in the middle of. A trigger forgets them with the upload; see migration 0011.
 * Writing holds the task's row against a claim until it is written, so that nobody reads less than is there.
 */
export function uploadParts(pool: pg.Pool): Pick<TaskStore, 'noteParts' | 'begunParts'> {
  return {
    async noteParts({ task, epoch }, parts) {
      const { rows } = await pool.query(
        `with held as (
           select id from tasks
            where id = $1 and lease_epoch = $2 and status in ('processing', 'transferring')
              for share
         ), written as (
           insert into upload_parts (task_id, number, bytes, tag)
           select held.id, part.number, part.bytes, part.tag
             from held, unnest($3::integer[], $4::bigint[], $5::text[]) as part (number, bytes, tag)
               on conflict (task_id, number) do update set bytes = excluded.bytes, tag = excluded.tag
         )
         select from held`,
        [
          task.id,
          epoch,
          parts.map(({ number }) => number),
          parts.map(({ sent }) => sent?.bytes ?? null),
          parts.map(({ sent }) => sent?.tag ?? null)
        ]
      )
      if (rows.length === 0) throw new LeaseLost(`the lease ${epoch} of task ${task.id} is over`)
    },

    async begunParts({ task }) {
      const { rows } = await pool.query<PartRow>(
        'select number, bytes, tag from upload_parts where task_id = $1 order by number',
        [task.id]
      )
      return rows.map(begunPart)
    }
  }
}

const begunPart = ({ number, bytes, tag }: PartRow): BegunPart => ({
  number,
  sent: bytes === null ? null : { number, bytes: Number(bytes), ...(tag !== null && { tag }) }
})
