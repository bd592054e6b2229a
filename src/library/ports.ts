import type { RandomAccess, Range } from '../disks/disk.ts'
import type { ByteSource } from '../domain/bytes.ts'
import type { ImageId, OwnerId, TaskId } from '../domain/ids.ts'
import type { Image } from '../domain/image.ts'
import type { Viewer } from '../domain/viewer.ts'

/** What a client may set when it creates an image or patches it. */
export type ImageFields = Pick<
  Image,
  'name' | 'diskFormat' | 'containerFormat' | 'visibility' | 'protected' | 'minDisk' | 'minRam' | 'tags' | 'properties'
>

export type NewImage = ImageFields & { readonly id: ImageId; readonly owner: OwnerId }

/** What is known of an image's bytes once they are stored and accepted. */
export type ImageFacts = {
  readonly size: number
  readonly virtualSize: number
  /** MD5, lower-case hex. */
  readonly checksum: string
  /** SHA-512, lower-case hex. */
  readonly sha512: string
}

export type ImageQuery = {
  readonly limit: number
  readonly marker?: ImageId
  readonly name?: string
  readonly status?: string
  readonly visibility?: string
  readonly owner?: string
  readonly sortKey: 'created_at' | 'updated_at' | 'name' | 'status' | 'id' | 'size' | 'disk_format' | 'container_format'
  readonly sortDir: 'asc' | 'desc'
}

export type DeleteOutcome =
  /** `uploadId` names the files that are nobody's now; null when there are none, or an upload under way will find out. */
  | { readonly status: 'deleted'; readonly uploadId: string | null }
  | { readonly status: 'not_found' }
  | { readonly status: 'forbidden' }
  | { readonly status: 'protected' }
  /**
   * Tasks that still need the image: not success and not failure; and those whose temporary URLs are made from it. `others`:
   * some are of projects whose tasks the viewer may not see.
   */
  | {
      readonly status: 'in_use'
      readonly tasks: readonly TaskId[]
      readonly tempUrls: readonly TaskId[]
      readonly others: boolean
    }

/** Rows of images. Visible means: of the viewer's project, or public, or the viewer is an admin. */
export interface ImageStore {
  /** Throws ImageExists when the id is taken. */
  create(image: NewImage): Promise<Image>
  get(viewer: Viewer, id: ImageId): Promise<Image | undefined>
  /** Throws MarkerNotFound. */
  list(viewer: Viewer, query: ImageQuery): Promise<Image[]>
  /**
   * Changes an own image; undefined when there is none.
   * @param change is given the image as it is, held until the change is stored; throws to refuse
   */
  update(viewer: Viewer, id: ImageId, change: (image: Image) => ImageFields): Promise<Image | undefined>
  /** queued -> saving for this upload; also from saving when that upload has been silent for two minutes. False otherwise. */
  beginUpload(id: ImageId, uploadId: string): Promise<boolean>
  /** Shows that the upload goes on. False when it is not this upload's turn any more. */
  touchUpload(id: ImageId, uploadId: string): Promise<boolean>
  /** saving -> active. False when it is not this upload's turn any more. */
  finishUpload(id: ImageId, uploadId: string, facts: ImageFacts): Promise<boolean>
  /** saving -> queued, so that the client may try again. */
  failUpload(id: ImageId, uploadId: string): Promise<void>
  /** The upload whose bytes are the image's; undefined unless the image is active. */
  uploadOf(id: ImageId): Promise<string | undefined>
  /** Takes the row for itself first, then looks for tasks, then deletes: a task created meanwhile cannot be missed. */
  delete(viewer: Viewer, id: ImageId): Promise<DeleteOutcome>
}

/** What came in, as it was stored: `dataRanges` leaves out every 64 KiB block that is all zeros. */
type StoredBytes = {
  readonly size: number
  readonly checksum: string
  readonly sha512: string
  readonly dataRanges: readonly Range[]
}

/**
 * Files of images. Every upload has files of its own, named by its id and never changed after `publish`; the image's row says
 * which upload counts (`ImageStore.uploadOf`). So an uploader that was thought dead can wake up and harm nobody.
 */
export interface ImageFiles {
  /**
   * Stores a stream, sparse, hashed on the way, in bounded memory, and durable when it returns. Throws ImageTooLarge past
   * `maxBytes`, StoreFull when the disk is full, the signal's reason as soon as it fires; leaves nothing behind when it throws.
   */
  write(id: ImageId, uploadId: string, source: ByteSource, maxBytes: number, signal: AbortSignal): Promise<StoredBytes>
  /** What `write` stored, to be looked at before `publish`. */
  openUpload(id: ImageId, uploadId: string): Promise<RandomAccess>
  /** Gives the stored upload its lasting name, in one step that survives a crash. From then on sweeping leaves it alone. */
  publish(id: ImageId, uploadId: string): Promise<void>
  /** Removes the upload's files, published or not; nothing to remove is no error. */
  discard(id: ImageId, uploadId: string): Promise<void>
}
