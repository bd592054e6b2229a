import type { FileHandle } from 'node:fs/promises'
import { type ByteSource, MiB } from '../domain/bytes.ts'

const ZEROS = Buffer.alloc(MiB)

/**
 * Writes one part of an upload to its place in a local file. What is zeros all through becomes a hole: that is what a place in
 * the file holds to which nothing was written, as every try sends the same bytes.
 * @param offset of the part in the file
 * @returns the offset behind its last byte
 */
export async function writePart(file: FileHandle, chunks: ByteSource, offset: number): Promise<number> {
  let at = offset
  let written = offset
  for await (const chunk of chunks) {
    const end = at + chunk.length
    if (!isZeros(chunk)) {
      await writeAll(file, chunk, at)
      written = end
    }
    at = end
  }
  // The file reaches to the part's end: not by truncating it, which could cut off what another part wrote meanwhile.
  if (written < at) await writeAll(file, ZEROS.subarray(0, 1), at - 1)
  // What the kernel took may still fail on its way to the disk: then it is this part that has to be sent again.
  await file.datasync()
  return at
}

/** Bytes of data are told by the first of them that differs. */
function isZeros(chunk: Uint8Array): boolean {
  for (let at = 0; at < chunk.length; at += ZEROS.length) {
    const some = chunk.subarray(at, at + ZEROS.length)
    if (ZEROS.compare(some, 0, some.length, 0, some.length) !== 0) return false
  }
  return true
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
