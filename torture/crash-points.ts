import type { Random } from './random.ts'

/** Where a worker is made to crash, by what its setting CRASH_AT calls it. */
const WORKER_POINTS: Readonly<Record<string, string>> = {
  'after the claim': 'before destinations.forTarget',
  'before the upload is opened': 'before destination.open',
  'upload opened, not written down': 'after destination.open',
  'upload written down': 'after tasks.startTransfer',
  'first part sent, not confirmed': 'before upload.putPart 2',
  'first part confirmed, not written down': 'after upload.putPart',
  'a part to be written down': 'before tasks.noteParts',
  'a part written down': 'after tasks.noteParts',
  'last of three parts confirmed': 'after upload.putPart 3',
  'commit announced': 'before upload.commit',
  committed: 'after upload.commit',
  'verified, before the task is settled': 'before tasks.settleSuccess',
  settled: 'after tasks.settleSuccess',
  'upload to be gone on with': 'after destination.resume',
  'before leftovers are removed': 'before destination.discard',
  'leftovers removed, not written down': 'after destination.discard',
  'before an upload is aborted': 'before upload.abort',
  'upload aborted': 'after upload.abort',
  'before a failure is settled': 'before tasks.settleFailure',
  'before a task is given back': 'before tasks.release',
  'task given back': 'after tasks.release'
}
const API_POINTS: Readonly<Record<string, string>> = {
  'before a task is stored': 'before tasks.create',
  'task stored, before the doorbell': 'after tasks.create'
}

/** All points, by what CRASH_AT calls them. */
export const CRASH_POINTS: ReadonlyMap<string, string> = new Map(
  Object.entries({ ...WORKER_POINTS, ...API_POINTS }).map(([name, at]) => [at, name])
)

/** Every second life of a process ends at a point, every point in its turn. */
export function crashChooser(random: Random): (program: 'http' | 'worker') => string | undefined {
  const turns = { worker: Object.values(WORKER_POINTS), http: Object.values(API_POINTS) }
  return (program) => {
    if (random.chance(0.5)) return undefined
    const point = turns[program].shift()
    if (point !== undefined) turns[program].push(point)
    return point
  }
}
