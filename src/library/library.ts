import type { Range } from '../disks/disk.ts'
import type { ByteSource } from '../domain/bytes.ts'
import type { ImageId } from '../domain/ids.ts'
import type { Image } from '../domain/image.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { ImageSource } from '../images/image-source.ts'
import { visibleImage } from './access.ts'
import { createImage } from './create-image.ts'
import { deleteImage } from './delete-image.ts'
import type { ImageFields, ImageFiles, ImageQuery } from './ports.ts'
import { type ImageFile, readImageFile } from './read-image-file.ts'
import { updateImage } from './update-image.ts'
import { type UploadRoom, uploadImage } from './upload-image.ts'

/** The built-in image store's use cases. What each one throws stands at its own file. */
export interface Library {
  createImage(viewer: Viewer, fields: ImageFields & { readonly id?: ImageId }): Promise<Image>
  /** Throws ImageNotFound. */
  getImage(viewer: Viewer, id: ImageId): Promise<Image>
  /** Throws MarkerNotFound. */
  listImages(viewer: Viewer, query: ImageQuery): Promise<Image[]>
  updateImage(viewer: Viewer, id: ImageId, change: (image: Image) => ImageFields): Promise<Image>
  uploadImage(viewer: Viewer, id: ImageId, source: ByteSource, signal: AbortSignal): Promise<void>
  readImage(viewer: Viewer, id: ImageId, range: Range | undefined, signal: AbortSignal): Promise<ImageFile | null>
  deleteImage(viewer: Viewer, id: ImageId): Promise<void>
}

type LibraryRoom = UploadRoom & {
  readonly files: ImageFiles & ImageSource
  /** Properties that only admins may set, change or remove. */
  readonly adminsOnly?: readonly string[]
}

export function createLibrary(room: LibraryRoom): Library {
  const { store, files, adminsOnly } = room
  return {
    createImage: (viewer, fields) => createImage(store, viewer, fields, adminsOnly),
    getImage: (viewer, id) => visibleImage(store, viewer, id),
    listImages: (viewer, query) => store.list(viewer, query),
    updateImage: (viewer, id, change) => updateImage(store, viewer, id, change, adminsOnly),
    uploadImage: (viewer, id, source, signal) => uploadImage(room, viewer, id, source, signal),
    readImage: (viewer, id, range, signal) => readImageFile(store, files, viewer, id, range, signal),
    deleteImage: (viewer, id) => deleteImage(store, files, viewer, id)
  }
}
