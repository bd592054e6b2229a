import { randomUUID } from 'node:crypto'
import type { DiskLimits } from '../disks/disk.ts'
import { openDisk } from '../disks/inspect.ts'
import type { DiskReaders } from '../disks/registry.ts'
import type { ByteSource } from '../domain/bytes.ts'
import type { ExportError } from '../domain/errors.ts'
import type { ImageId } from '../domain/ids.ts'
import type { Image } from '../domain/image.ts'
import { ImageFormatUnsupported, ImageIncomplete, ImageNotFound, UploadConflict } from '../domain/image-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import { ownImage, visibleImage } from './access.ts'
import type { ImageFiles, ImageStore } from './ports.ts'

/** Well below the two minutes of silence after which another upload may take over. */
const touchEveryMs = 30_000

export type UploadRoom = {
  readonly store: ImageStore
  readonly files: ImageFiles
  readonly readers: DiskReaders
  readonly limits: DiskLimits & { readonly maxImageSize: number }
}

/**
 * Stores the image's data, checks it as what it was declared to be, and makes the image active. Whatever goes wrong on the way,
 * an aborted or broken source included, leaves the image queued and without data.
 *
 * Throws ImageNotFound, ImageForbidden, UploadConflict, ImageIncomplete, ImageFormatUnsupported, ImageTooLarge, StoreFull,
 * ImageUnsafe, the signal's reason, and what `source` throws.
 */
export async function uploadImage(
  room: UploadRoom,
  viewer: Viewer,
  id: ImageId,
  source: ByteSource,
  signal: AbortSignal
): Promise<void> {
  const { store, files, readers, limits } = room
  await ownImage(store, viewer, id)
  const uploadId = randomUUID()
  if (!(await store.beginUpload(id, uploadId))) throw new UploadConflict(id)
  using turn = holdTurn(room, viewer, id, uploadId)
  const stop = AbortSignal.any([signal, turn.lost])
  try {
    // Looked at again: until now its formats could change.
    const diskFormat = declaredFormat(await visibleImage(store, viewer, id), readers)
    const stored = await files.write(id, uploadId, source, limits.maxImageSize, stop)
    const virtualSize = await inspect(room, id, uploadId, diskFormat)
    stop.throwIfAborted()
    await files.publish(id, uploadId)
    const { size, checksum, sha512 } = stored
    const finished = await store.finishUpload(id, uploadId, { size, virtualSize, checksum, sha512 })
    if (!finished) throw await lostTurn(store, viewer, id)
  } catch (error) {
    // Best effort, as the first error is the one to report: the row frees itself after two minutes.
    await takeBack(room, id, uploadId).catch(() => {})
    throw error
  }
}

/** `disk_format` of an image that says all that its data is to be checked against. */
function declaredFormat({ diskFormat, containerFormat }: Image, readers: DiskReaders): string {
  if (diskFormat === null || containerFormat === null) {
    const missing = [diskFormat === null && 'disk_format', containerFormat === null && 'container_format']
    throw new ImageIncomplete(missing.filter((property) => property !== false))
  }
  if (containerFormat !== 'bare') throw new ImageFormatUnsupported('container_format', ['bare'])
  if (!readers.has(diskFormat)) throw new ImageFormatUnsupported('disk_format', [...readers.keys()])
  return diskFormat
}

/** Size of the disk inside, bytes. Throws ImageUnsafe when the stored bytes are not a sound image of the declared format. */
async function inspect(room: UploadRoom, id: ImageId, uploadId: string, diskFormat: string): Promise<number> {
  await using file = await room.files.openUpload(id, uploadId)
  await using disk = await openDisk(file, diskFormat, room.limits, room.readers)
  return disk.virtualSize
}

/** Shows every half minute that the upload goes on; `lost` fires when the image was deleted or another upload took over. */
function holdTurn(
  { store }: UploadRoom,
  viewer: Viewer,
  id: ImageId,
  uploadId: string
): Disposable & { lost: AbortSignal } {
  const controller = new AbortController()
  const touch = async () => {
    if (!(await store.touchUpload(id, uploadId))) controller.abort(await lostTurn(store, viewer, id))
  }
  // A database that does not answer now may do so next time; finishUpload has the last word.
  const timer = setInterval(() => touch().catch(() => {}), touchEveryMs)
  return { lost: controller.signal, [Symbol.dispose]: () => clearInterval(timer) }
}

const lostTurn = async (store: ImageStore, viewer: Viewer, id: ImageId): Promise<ExportError> =>
  (await store.get(viewer, id)) ? new UploadConflict(id) : new ImageNotFound(id)

/** Frees the row, then the files. A finish whose answer was lost may have taken effect all the same: then the files stay. */
async function takeBack({ store, files }: UploadRoom, id: ImageId, uploadId: string): Promise<void> {
  await store.failUpload(id, uploadId)
  if ((await store.uploadOf(id)) !== uploadId) await files.discard(id, uploadId)
}
