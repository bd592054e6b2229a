import type { Part } from '../destinations/destination.ts'
import type { Disk } from '../disks/disk.ts'
import { MiB } from '../domain/bytes.ts'
import type { Layout } from '../formats/format.ts'
import { CONTENT_HASH } from '../hashing/content-hash.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Engine } from './engine.ts'
import { atLast, FileDigests } from './file-digests.ts'
import { PartFeed } from './part-feed.ts'
import { readLayout } from './read-layout.ts'
import { partsOf, type Sending } from './sending.ts'
import type { Transferred, Wants } from './wants.ts'

/** Every chunk wakes a thread that reads and one that hashes: smaller ones cost more than their bytes. */
const BUFFER_BYTES = MiB
/** For a file in one body: enough that reading, hashing and sending go on side by side. */
const POOL_BUFFERS = 6
/** For one in parts: two parts of 16 MiB can be under way while the file is read, and hashed, once and in order. */
const POOL_BUFFERS_OF_PARTS = 32
/** For what is read again. Of its own: those above may all wait behind the part that is sent again. */
const RESEND_BUFFERS = 4
/** Reading does not run further ahead of hashing: what was read just now is still in the processor's cache. */
const UNHASHED_CHUNKS = 4
/** Nor of sending, where the file has nothing to read: zeros take no buffers, but what describes them is memory too. */
const HELD_CHUNKS = 2 * POOL_BUFFERS_OF_PARTS

/**
 * Sends the whole file to an opened upload: read once in order, hashed on the way, up to `upload.parallel` parts at once. Of a
 * part that is sent again, what was used up is read a second time. Memory is the pools, whatever the size of the image.
 * Leaves `commit` and `abort` to the caller.
 * @param onSent told of bytes as the destination takes them; below 0 when they have to be sent again
 * @throws what the disk or the upload threw first, or the signal's reason; nothing is under way any more by then
 */
export async function transfer(
  source: { readonly layout: Layout; readonly disk: Disk },
  { upload, retries, signal, draining }: Sending,
  { hashers, buffers }: Pick<Engine, 'hashers' | 'buffers'>,
  wants: Wants,
  onSent: (bytes: number) => void
): Promise<Transferred> {
  const failed = new AbortController()
  const stop = AbortSignal.any([signal, failed.signal])
  using pool = new BufferPool(buffers, BUFFER_BYTES, upload.parallel > 1 ? POOL_BUFFERS_OF_PARTS : POOL_BUFFERS)
  using resendPool = new BufferPool(buffers, BUFFER_BYTES, RESEND_BUFFERS)
  using digests = new FileDigests(hashers, new Set(['sha256', ...wants.digests]))
  using content = wants.contentHash ? hashers.startContent(source.disk.virtualSize) : undefined
  const underWay = new Set<Promise<unknown>>()
  const feeds = new Set<PartFeed>()
  let parts = 0
  let unhashed = 0
  let held = 0
  let readOn = () => {}
  stop.addEventListener('abort', () => {
    for (const feed of feeds) feed.fail(stop.reason)
    readOn()
  })

  const send = (part: Part, feed: PartFeed): Promise<unknown> => {
    let lost = 0
    const putPart = () =>
      upload.putPart(part, feed.body(), stop).catch((error: unknown) => {
        lost = feed.forget()
        throw error
      })
    return retries.run(stop, putPart, () => lost)
  }

  const startPart = (part: Part): PartFeed => {
    const reread = (bytes: number) =>
      readLayout(source, { from: part.offset, to: part.offset + bytes }, resendPool, stop)
    const feed = new PartFeed({ reread, onSent })
    feeds.add(feed)
    const sent = send(part, feed).catch((error: unknown) => {
      failed.abort(error)
      throw error
    })
    underWay.add(sent)
    sent.then(
      () => {
        underWay.delete(sent)
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
      if (draining?.aborted) {
        await Promise.all(underWay)
        throw draining.reason
      }
      const feed = startPart(part)
      parts = part.number
      for await (const chunk of readLayout(source, { from: part.offset, to: part.offset + part.length }, pool, stop)) {
        const { bytes, diskOffset } = chunk
        held++
        unhashed++
        const release = atLast(2, () => {
          chunk.release()
          held--
          readOn()
        })
        const inContent = content && diskOffset !== undefined
        const hashed = atLast(inContent ? 2 : 1, () => {
          unhashed--
          release()
          readOn()
        })
        digests.update(bytes, hashed)
        if (inContent) content.update(diskOffset, bytes, hashed)
        feed.push({ bytes, release })
        while (!stop.aborted && (unhashed >= UNHASHED_CHUNKS || held >= HELD_CHUNKS)) {
          await new Promise<void>((resolve) => (readOn = resolve))
        }
      }
      feed.end()
    }
    await Promise.all(underWay)
    const { sha256 = null, ...checksums } = await digests.digest()
    return {
      bytes: source.layout.length,
      parts,
      sha256,
      composite: null,
      ...(Object.keys(checksums).length > 0 && { checksums }),
      ...(content && { contentHash: { algo: CONTENT_HASH, value: await content.digest() } })
    }
  } catch (error) {
    if (!stop.aborted) failed.abort(error)
    throw stop.reason
  } finally {
    await Promise.allSettled(underWay)
  }
}
