import type { ImageId } from '../domain/ids.ts'
import { ImageInUse, ImageNotFound, ImageProtected } from '../domain/image-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import { notYours } from './access.ts'
import type { ImageFiles, ImageStore } from './ports.ts'

/**
 * Deletes the row, then the files: the row is the truth, and no task can start once it is gone.
 * Throws ImageNotFound, ImageForbidden, ImageProtected, ImageInUse.
 */
export async function deleteImage(store: ImageStore, files: ImageFiles, viewer: Viewer, id: ImageId): Promise<void> {
  const outcome = await store.delete(viewer, id)
  switch (outcome.status) {
    case 'not_found':
      throw new ImageNotFound(id)
    case 'forbidden':
      throw notYours(id)
    case 'protected':
      throw new ImageProtected(id)
    case 'in_use':
      throw new ImageInUse(id, outcome)
    case 'deleted':
      if (outcome.uploadId !== null) await files.discard(id, outcome.uploadId)
  }
}
