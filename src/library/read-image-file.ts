import type { RandomAccess, Range } from '../disks/disk.ts'
import { type ByteSource, KiB } from '../domain/bytes.ts'
import type { ImageId } from '../domain/ids.ts'
import type { Viewer } from '../domain/viewer.ts'
import type { ImageSource } from '../images/image-source.ts'
import { visibleImage } from './access.ts'
import type { ImageStore } from './ports.ts'

const chunkBytes = 256 * KiB

/**
 * An image's stored bytes, or a range of them, in order. `size` and `checksum` are those of the whole.
 * `bytes` can be read once and closes the file when it ends; dispose of this if it may never have been started.
 */
export type ImageFile = AsyncDisposable & {
  readonly size: number
  readonly checksum: string | null
  readonly bytes: ByteSource
}

/**
 * Opens what was uploaded; null when the image has no data. The image's data never changes, so a range that was made from an
 * earlier look at its size holds. Throws ImageNotFound, SourceReadFailed, RangeError for a range that ends past the image.
 */
export async function readImageFile(
  store: ImageStore,
  source: ImageSource,
  viewer: Viewer,
  id: ImageId,
  range: Range | undefined,
  signal: AbortSignal
): Promise<ImageFile | null> {
  const image = await visibleImage(store, viewer, id)
  if (image.status !== 'active') return null
  const file = await source.open(id, signal)
  const { offset, length } = range ?? { offset: 0, length: file.size }
  if (offset + length > file.size) {
    await file[Symbol.asyncDispose]()
    throw new RangeError(`bytes ${offset} to ${offset + length} of an image of ${file.size}`)
  }
  return {
    size: file.size,
    checksum: image.checksum,
    bytes: readInOrder(file, offset, offset + length, signal),
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]()
  }
}

async function* readInOrder(
  file: RandomAccess,
  from: number,
  to: number,
  signal: AbortSignal
): AsyncGenerator<Uint8Array> {
  await using _closedAtTheEnd = file
  const buffer = Buffer.alloc(Math.min(chunkBytes, to - from))
  for (let at = from; at < to; at += buffer.length) {
    signal.throwIfAborted()
    const chunk = buffer.subarray(0, to - at)
    await file.read(chunk, at)
    yield chunk
  }
}
