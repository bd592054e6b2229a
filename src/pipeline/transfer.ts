import type { Part, Upload } from '../destinations/destination.ts'
import type { Disk } from '../disks/disk.ts'
import { KiB } from '../domain/bytes.ts'
import type { Layout } from '../formats/format.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Engine } from './engine.ts'
import { PartFeed } from './part-feed.ts'
import { type Chunk, readLayout } from './read-layout.ts'

/** Below 256 KiB the calls cost more than the bytes; above 1 MiB nothing is gained. */
const BUFFER_BYTES = 512 * KiB
/** 32 MiB: two parts of 16 MiB can be under way while the file is read, and hashed, once and in order. */
const POOL_BUFFERS = 64

/** What was sent. Digests are lower-case hex. */
export type Transferred = {
  readonly bytes: number
  readonly parts: number
  /** Of the whole file; null where its head was sent last, so that it was never seen in its order. */
  readonly sha256: string | null
  /** SHA-256 of the SHA-256 of every part of `partBytes`, joined in the file's order; null where the whole file was hashed. */
  readonly composite: { readonly sha256: string; readonly partBytes: number } | null
}

/**
 * Sends the whole file to an opened upload: read once in order, hashed on the way, up to `upload.parallel` parts at once.
 * Memory is the pool, whatever the size of the image. Leaves `commit` and `abort` to the caller.
 * @param onSent told of bytes as the destination takes them
 * @throws what the disk or the upload threw first, or the signal's reason; nothing is under way any more by then
 */
export async function transfer(
  source: { readonly layout: Layout; readonly disk: Disk },
  upload: Upload,
  { hashers, buffers }: Pick<Engine, 'hashers' | 'buffers'>,
  signal: AbortSignal,
  onSent: (bytes: number) => void
): Promise<Transferred> {
  const failed = new AbortController()
  const stop = AbortSignal.any([signal, failed.signal])
  using pool = new BufferPool(buffers, BUFFER_BYTES, POOL_BUFFERS)
  using hash = hashers.start('sha256')
  const underWay = new Set<Promise<void>>()
  const feeds = new Set<PartFeed>()
  stop.addEventListener('abort', () => {
    for (const feed of feeds) feed.fail(stop.reason)
  })
  let parts = 0

  const startPart = (part: Part): PartFeed => {
    const feed = new PartFeed(onSent)
    feeds.add(feed)
    const put = upload.putPart(part, feed, stop).catch((error: unknown) => {
      failed.abort(error)
      throw error
    })
    underWay.add(put)
    put.then(
      () => {
        underWay.delete(put)
        feeds.delete(feed)
      },
      () => {} // stays, so that whoever waits for the parts meets the failure
    )
    return feed
  }

  try {
    for (const part of partsOf(source.layout.length, upload.partBytes)) {
      while (underWay.size >= upload.parallel) await Promise.race(underWay)
      const feed = startPart(part)
      parts = part.number
      for await (const chunk of readLayout(source, { from: part.offset, to: part.offset + part.length }, pool, stop)) {
        const shared = heldTwice(chunk)
        hash.update(shared.bytes, shared.release)
        feed.push(shared)
      }
      feed.end()
    }
    await Promise.all(underWay)
    return { bytes: source.layout.length, parts, sha256: await hash.digest(), composite: null }
  } catch (error) {
    if (!stop.aborted) failed.abort(error)
    throw stop.reason
  } finally {
    await Promise.allSettled(underWay)
  }
}

/** Hashing and sending take their own time: the buffer is free when both have ended. */
function heldTwice({ bytes, release }: Chunk): Chunk {
  let holders = 2
  return {
    bytes,
    release() {
      if (--holders === 0) release()
    }
  }
}

/** The file in parts of `partBytes`, the last one shorter. */
function* partsOf(length: number, partBytes: number): Generator<Part> {
  let number = 0
  for (let offset = 0; offset < length; offset += partBytes) {
    number++
    yield { number, offset, length: Math.min(partBytes, length - offset) }
  }
}
