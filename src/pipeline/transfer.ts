import type { Part, Upload } from '../destinations/destination.ts'
import type { Disk } from '../disks/disk.ts'
import { MiB } from '../domain/bytes.ts'
import type { Layout } from '../formats/format.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Engine } from './engine.ts'
import { PartFeed } from './part-feed.ts'
import { type Chunk, readLayout } from './read-layout.ts'

/** Every chunk wakes a thread that reads and one that hashes: smaller ones cost more than their bytes. */
const BUFFER_BYTES = MiB
/** For a file in one body: enough that reading, hashing and sending go on side by side. */
const POOL_BUFFERS = 6
/** For one in parts: two parts of 16 MiB can be under way while the file is read, and hashed, once and in order. */
const POOL_BUFFERS_OF_PARTS = 32
/** Reading does not run further ahead of hashing: what was read just now is still in the processor's cache. */
const UNHASHED_CHUNKS = 4

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
  using pool = new BufferPool(buffers, BUFFER_BYTES, upload.parallel > 1 ? POOL_BUFFERS_OF_PARTS : POOL_BUFFERS)
  using hash = hashers.start('sha256')
  const underWay = new Set<Promise<void>>()
  const feeds = new Set<PartFeed>()
  stop.addEventListener('abort', () => {
    for (const feed of feeds) feed.fail(stop.reason)
  })
  let parts = 0
  let unhashed = 0
  let readOn = () => {}

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
      stop.throwIfAborted() // nobody would tell a feed that began later
      const feed = startPart(part)
      parts = part.number
      for await (const chunk of readLayout(source, { from: part.offset, to: part.offset + part.length }, pool, stop)) {
        const shared = heldTwice(chunk)
        unhashed++
        hash.update(shared.bytes, () => {
          unhashed--
          shared.release()
          readOn()
        })
        feed.push(shared)
        if (unhashed >= UNHASHED_CHUNKS) await new Promise<void>((resolve) => (readOn = resolve))
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
