import type { Part, Upload } from '../../src/destinations/destination.ts'
import { type ByteSource, KiB } from '../../src/domain/bytes.ts'

export const CHUNK_BYTES = 192 * KiB
export const never = () => new AbortController().signal

/** The byte at `offset` of every test file; differs between chunks and between parts. */
const fill = (target: Uint8Array, offset: number): void => {
  for (let index = 0; index < target.length; index += 1) target[index] = (offset + index) % 251
}

export const expected = (length: number): Buffer => {
  const bytes = Buffer.alloc(length)
  fill(bytes, 0)
  return bytes
}

type TestSource = ByteSource & { asked: number; closed: boolean; onAsked: () => void }

/** Gives one part's bytes out of a single buffer, which it spoils whenever the next chunk is asked for. */
export function source(part: Part): TestSource {
  const buffer = Buffer.alloc(CHUNK_BYTES)
  const self: TestSource = {
    asked: 0,
    closed: false,
    onAsked: () => {},
    async *[Symbol.asyncIterator]() {
      try {
        for (let at = 0; at < part.length; at += CHUNK_BYTES) {
          self.asked += 1
          self.onAsked()
          await new Promise(setImmediate)
          buffer.fill(0xee)
          const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, part.length - at))
          fill(chunk, part.offset + at)
          yield chunk
        }
        buffer.fill(0xee)
      } finally {
        self.closed = true
      }
    }
  }
  return self
}

export function partsOf(upload: Upload, length: number): Part[] {
  const count = Math.ceil(length / upload.partBytes)
  return Array.from({ length: count }, (_, index) => {
    const offset = index * upload.partBytes
    return { number: index + 1, offset, length: Math.min(upload.partBytes, length - offset) }
  })
}
