import { Readable } from 'node:stream'
import type { ByteSource } from '../../domain/bytes.ts'

export const MEDIA_TYPE = 'application/octet-stream'

/** The bytes as the body of an answer. They are copied, since a chunk is only borrowed and a stream keeps several. */
export const byteStream = (bytes: ByteSource): Readable => Readable.from(ownChunks(bytes), { objectMode: false })

async function* ownChunks(bytes: ByteSource): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) yield Buffer.from(chunk)
}
