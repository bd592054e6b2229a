import type { FileHandle } from 'node:fs/promises'
import type { ByteSource } from '../domain/bytes.ts'

/**
 * Writes one part of an upload to its place in a local file.
 * @param offset of the part in the file
 * @returns the offset behind its last byte
 */
export async function writePart(file: FileHandle, chunks: ByteSource, offset: number): Promise<number> {
  let at = offset
  for await (const chunk of chunks) {
    await writeAll(file, chunk, at)
    at += chunk.length
  }
  // What the kernel took may still fail on its way to the disk: then it is this part that has to be sent again.
  await file.datasync()
  return at
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
