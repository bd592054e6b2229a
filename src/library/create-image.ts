import { randomUUID } from 'node:crypto'
import { type ImageId, imageId } from '../domain/ids.ts'
import type { Image } from '../domain/image.ts'
import type { Viewer } from '../domain/viewer.ts'
import { checkProperties, checkVisibility } from './access.ts'
import type { ImageFields, ImageStore } from './ports.ts'

/**
 * Makes a queued image without data in the viewer's project. Throws ImageExists when `id` is taken, ImageForbidden.
 * @param adminsOnly names of properties
 */
export async function createImage(
  store: ImageStore,
  viewer: Viewer,
  fields: ImageFields & { readonly id?: ImageId },
  adminsOnly: readonly string[] = []
): Promise<Image> {
  checkVisibility(viewer, 'private', fields.visibility)
  checkProperties(viewer, {}, fields.properties, adminsOnly)
  return store.create({ ...fields, id: fields.id ?? imageId(randomUUID()), owner: viewer.owner })
}
