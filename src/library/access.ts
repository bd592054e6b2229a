import type { ImageId } from '../domain/ids.ts'
import type { Image } from '../domain/image.ts'
import { ImageForbidden, ImageNotFound } from '../domain/image-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { ImageStore } from './ports.ts'

/** The image, if the viewer may see it. Throws ImageNotFound, also for another project's private image. */
export async function visibleImage(store: ImageStore, viewer: Viewer, id: ImageId): Promise<Image> {
  const image = await store.get(viewer, id)
  if (!image) throw new ImageNotFound(id)
  return image
}

/** The image, if the viewer may change it. Throws ImageNotFound, or ImageForbidden when it may only be seen. */
export async function ownImage(store: ImageStore, viewer: Viewer, id: ImageId): Promise<Image> {
  const image = await visibleImage(store, viewer, id)
  if (!viewer.admin && image.owner !== viewer.owner) throw notYours(id)
  return image
}

export const notYours = (id: ImageId): ImageForbidden =>
  new ImageForbidden(`Image ${id} belongs to another project; only that project or an admin may change it.`)

/** A public image shows up in every project's list, so making one is for admins, as in Glance. Throws ImageForbidden. */
export function checkVisibility(viewer: Viewer, before: Image['visibility'], after: Image['visibility']): void {
  if (after === 'public' && before !== 'public' && !viewer.admin) {
    throw new ImageForbidden('Only an admin may make an image public.')
  }
}

/** Exports depend on these properties, so only an admin may set, change or remove them. Throws ImageForbidden. */
export function checkProperties(
  viewer: Viewer,
  before: Image['properties'],
  after: Image['properties'],
  adminsOnly: readonly string[]
): void {
  const changed = adminsOnly.find((name) => propertyOf(before, name) !== propertyOf(after, name))
  if (changed === undefined || viewer.admin) return
  throw new ImageForbidden(`Only an admin may set, change or remove the property ${changed}: exports depend on it.`)
}

const propertyOf = (properties: Image['properties'], name: string): string | undefined =>
  Object.hasOwn(properties, name) ? properties[name] : undefined
