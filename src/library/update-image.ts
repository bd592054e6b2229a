import type { ImageId } from '../domain/ids.ts'
import type { Image } from '../domain/image.ts'
import { ImageFormatFixed, ImageNotFound } from '../domain/image-errors.ts'
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
  await ownImage(store, viewer, id)
  const updated = await store.update(viewer, id, (image) => {
    const fields = change(image)
    checkVisibility(viewer, image.visibility, fields.visibility)
    checkProperties(viewer, image.properties, fields.properties, adminsOnly)
    if (image.status !== 'queued' && !haveSameFormats(image, fields)) throw new ImageFormatFixed(id)
    return fields
  })
  if (!updated) throw new ImageNotFound(id)
  return updated
}

type Formats = Pick<Image, 'diskFormat' | 'containerFormat'>

const haveSameFormats = (a: Formats, b: Formats): boolean =>
  a.diskFormat === b.diskFormat && a.containerFormat === b.containerFormat
