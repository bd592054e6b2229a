import type { ImageId } from '../domain/ids.ts'
import type { Image } from '../domain/image.ts'
import { ImageFormatFixed } from '../domain/image-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import { checkProperties, checkVisibility, ownImage } from './access.ts'
import type { ImageFields, ImageStore } from './ports.ts'

/**
 * Stores what `change` makes of the image. Throws ImageNotFound, ImageForbidden, whatever `change` throws, and
 * ImageFormatFixed: an image's data was checked as its declared format, so that may not become another one.
 * @param adminsOnly names of properties
 */
export async function updateImage(
  store: ImageStore,
  viewer: Viewer,
  id: ImageId,
  change: (image: Image) => ImageFields,
  adminsOnly: readonly string[] = []
): Promise<Image> {
  const image = await ownImage(store, viewer, id)
  const fields = change(image)
  checkVisibility(viewer, image.visibility, fields.visibility)
  checkProperties(viewer, image.properties, fields.properties, adminsOnly)
  const updated = await store.update(viewer, id, fields)
  if (updated) return updated
  await ownImage(store, viewer, id) // says so if it was deleted meanwhile
  throw new ImageFormatFixed(id)
}
