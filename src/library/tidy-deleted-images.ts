import type { ImageId } from '../domain/ids.ts'

/** Files this young may belong to an upload that has not heard yet that its image was deleted. */
const GRACE_MS = 60 * 60_000

/** Images whose deletion was written down, together with it, because their files go only afterwards. */
export type DeletedImages = {
  /** At most 500, the oldest first; none that has been created again under the same id. */
  list(olderThanMs: number): Promise<readonly ImageId[]>
  forget(ids: readonly ImageId[]): Promise<void>
}

type FilesOfDeleted = {
  /** Removes uploads of the image that nothing was written to for so long. */
  removeOlder(id: ImageId, ms: number): Promise<{ readonly removed: number; readonly left: number }>
}

type TidyUses = {
  readonly deleted: DeletedImages
  readonly files: FilesOfDeleted
  readonly log: { info(data: object, message: string): void }
}

/**
 * Removes the files of deleted images that are still there because a process died in between. Files are never taken for
 * leftovers because the database does not know their image: it may be another database, or an old copy of it.
 */
export async function tidyDeletedImages({ deleted, files, log }: TidyUses): Promise<void> {
  const done: ImageId[] = []
  for (const imageId of await deleted.list(GRACE_MS)) {
    const { removed, left } = await files.removeOlder(imageId, GRACE_MS)
    if (removed > 0) log.info({ imageId, uploads: removed }, 'files of a deleted image removed')
    if (left === 0) done.push(imageId)
  }
  if (done.length > 0) await deleted.forget(done)
}
