import type { TaskId } from '../domain/ids.ts'
import type { Log } from '../export/ports.ts'
import type { TempUrlStore } from './ports.ts'

/** A download that was let in may go on so long after its URL has ended. */
const GRACE_MS = 6 * 60 * 60_000

/** The kept files, by their tasks. */
type KeptFiles = {
  tasks(): Promise<readonly TaskId[]>
  /** @returns whether there was anything */
  remove(task: TaskId): Promise<boolean>
}

type SweepUses = { readonly store: TempUrlStore; readonly files: KeptFiles; readonly log: Log }

/** Removes the files of URLs that have expired or were revoked, once nobody downloads them. Any number may run at once. */
export async function sweepTempUrls({ store, files, log }: SweepUses): Promise<void> {
  const ended = await store.ended(GRACE_MS)
  for (const taskId of ended) {
    if (await files.remove(taskId)) log.info({ taskId }, 'file of an ended temporary URL removed')
  }
  if (ended.length > 0) await store.filesRemoved(ended)
}

/** Removes files of tasks that have ended in another way: what workers left that nobody came after. */
export async function tidyKeptFiles({ store, files, log }: SweepUses): Promise<void> {
  // Looked up in this order: the task of a folder that is made meanwhile is not asked about.
  for (const taskId of await store.unknown(await files.tasks())) {
    if (await files.remove(taskId)) log.info({ taskId }, 'leftover of a dead export removed')
  }
}
