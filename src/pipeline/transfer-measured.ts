import { createHash } from 'node:crypto'
import type { Upload } from '../destinations/destination.ts'
import type { ByteSource } from '../domain/bytes.ts'
import type { Compressors } from './compressors.ts'
import { type Measured, type OnRead, type PackedSource, packedBody } from './pack-file.ts'
import type { Transferred } from './transfer.ts'

/**
 * Sends the file front to back as one body, for destinations that want its length first: the first pass has told the length
 * and the head (see `measure`). What that pass could not keep is compressed a second time.
 */
export async function transferMeasured(
  source: PackedSource,
  measured: Measured,
  upload: Upload,
  compressors: Compressors,
  signal: AbortSignal,
  onRead: OnRead
): Promise<Transferred> {
  const { length, packer, body } = measured
  const digest = createHash('sha256')
  async function* file(): ByteSource {
    for (const chunks of [packer.head(), body.whole ? kept() : made()])
      for await (const chunk of chunks) {
        digest.update(chunk)
        yield chunk
      }
  }
  const made = () => packedBody(source, source.packing.start(), compressors, signal, onRead)
  function* kept() {
    const { total, unitBytes } = source.packing.units
    const shareOfByte = (total * unitBytes) / (length - source.packing.headBytes)
    for (const chunk of body.chunks()) {
      yield chunk
      onRead(chunk.length * shareOfByte)
    }
  }
  await upload.putPart({ number: 1, offset: 0, length }, file(), signal)
  return { bytes: length, parts: 1, sha256: digest.digest('hex'), composite: null }
}
