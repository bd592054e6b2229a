import { failure } from '../../destinations/failures.ts'
import { hasOwnName } from '../../destinations/own-name.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import { ObjectBusy } from '../../domain/export-errors.ts'
import { type Placement, placeName } from '../checks/collision.ts'
import { objectName } from '../object-name.ts'
import type { TaskStore } from '../ports.ts'
import { NO_FILE, uploadTarget } from '../upload-target.ts'
import type { Attempt } from './attempt.ts'
import type { ExportJob } from './export-job.ts'

/**
 * Makes the object's name this task's own until it ends, before the first byte. Of several tasks that want one name at the
 * same time `suffix` gives the others another, `fail` ends them, and with `replace` and `reuse` they wait for their turn: each
 * finds what the one before has written.
 * @param found the place that the checks have found
 * @param placeFrom looks again, from this suffix on
 * @throws DestinationError DEST_OBJECT_EXISTS; ObjectBusy where the name is to be waited for; LeaseLost
 */
export async function takeName(
  tasks: Pick<TaskStore, 'takeName'>,
  { warnings }: Attempt,
  { claim, where }: ExportJob,
  found: Placement,
  placeFrom: (suffix: number) => Promise<Placement>
): Promise<Placement> {
  const policy = claim.task.request.options.object.if_exists ?? 'fail'
  for (let placement = found; ; ) {
    const { suffix } = placement
    const name = objectName(where, suffix)
    if (await tasks.takeName(claim, { suffix, name, warnings })) {
      const target = uploadTarget(where, { suffix, replace: false }, NO_FILE)
      if (hasOwnName(target)) return placement
      // Whoever had the name may have written it since it was looked at, and ended.
      const now = await placeFrom(suffix)
      if (now.suffix === suffix) return now
      placement = now
    } else if (policy === 'suffix') {
      placement = await placeFrom(suffix + 1)
    } else {
      throw policy === 'fail' ? failure('nameInUse', placeName(where.objectUrl)) : new ObjectBusy()
    }
  }
}

/**
 * What becomes of an attempt that met an object of somebody else's at the name it had found free: by `suffix` the next one
 * takes another name.
 */
export function lateConflict({ claim, where }: ExportJob, error: unknown): unknown {
  const isConflict = error instanceof DestinationError && error.code === 'DEST_OBJECT_EXISTS'
  if (!isConflict || claim.task.request.options.object.if_exists !== 'suffix') return error
  return failure('nameTakenMeanwhile', placeName(where.objectUrl), { cause: error })
}
