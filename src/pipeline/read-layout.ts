import type { Disk } from '../disks/disk.ts'
import type { Layout, Segment } from '../formats/format.ts'
import type { BufferPool } from './buffer-pool.ts'
import { inOrder } from './in-order.ts'

/** Bytes of the file that the holder owns until `release`. `diskOffset`: where they stand on the disk, if they do. */
export type Chunk = { readonly bytes: Uint8Array; readonly diskOffset?: number; release(): void }

/** Reads under way at once: enough to keep a disk busy while the chunk before is being sent. */
const READ_AHEAD = 3

/**
 * The bytes [from, to) of a laid-out file, in order, in chunks of at most one buffer. Only ranges of the disk take buffers of
 * the pool; zeros share one. Holes are never read. Stops at the signal; when it returns no read is under way any more, and
 * what it has read ahead is free again.
 */
export async function* readLayout(
  source: { readonly layout: Layout; readonly disk: Disk },
  range: { readonly from: number; readonly to: number },
  pool: BufferPool,
  signal: AbortSignal
): AsyncGenerator<Chunk> {
  const pieces = split(source.layout.segments(range.from, range.to), pool.bufferBytes)
  const ahead = new Set<Chunk>()
  const start = async (piece: Segment): Promise<Chunk> => {
    if (piece.kind === 'bytes') return { bytes: piece.bytes, release() {} }
    if (piece.kind === 'zero') return { bytes: pool.zeros.subarray(0, piece.length), release() {} }
    const buffer = await pool.acquire(signal)
    try {
      const bytes = buffer.subarray(0, piece.length)
      await source.disk.read(bytes, piece.offset)
      const chunk = { bytes, diskOffset: piece.offset, release: () => pool.release(buffer) }
      ahead.add(chunk)
      return chunk
    } catch (error) {
      pool.release(buffer)
      throw error
    }
  }
  try {
    for await (const chunk of inOrder(pieces, READ_AHEAD, start, signal)) {
      ahead.delete(chunk)
      yield chunk
    }
  } finally {
    for (const { release } of ahead) release()
  }
}

/** Segments cut to at most `maxBytes` each. */
function* split(segments: Iterable<Segment>, maxBytes: number): Generator<Segment> {
  for (const segment of segments) {
    if (segment.kind === 'bytes') {
      for (let at = 0; at < segment.bytes.length; at += maxBytes)
        yield { kind: 'bytes', bytes: segment.bytes.subarray(at, at + maxBytes) }
    } else if (segment.kind === 'disk') {
      for (let at = 0; at < segment.length; at += maxBytes)
        yield { kind: 'disk', offset: segment.offset + at, length: Math.min(maxBytes, segment.length - at) }
    } else {
      for (let at = 0; at < segment.length; at += maxBytes)
        yield { kind: 'zero', length: Math.min(maxBytes, segment.length - at) }
    }
  }
}
