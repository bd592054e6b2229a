import { createHash } from 'node:crypto'
import type { Upload } from '../destinations/destination.ts'
import type { ByteSource } from '../domain/bytes.ts'
import type { Packer } from '../formats/packing.ts'
import type { Compressors } from './compressors.ts'
import { type OnRead, type PackedSource, packedBody } from './pack-file.ts'
import type { Transferred } from './transfer.ts'

/**
 * Compresses a second time and sends the file front to back as one body, for destinations that want its length first: the
 * first pass has told the length and the head (see `measure`).
 */
export async function transferMeasured(
  source: PackedSource,
  measured: { readonly length: number; readonly packer: Packer },
  upload: Upload,
  compressors: Compressors,
  signal: AbortSignal,
  onRead: OnRead
): Promise<Transferred> {
  const digest = createHash('sha256')
  async function* file(): ByteSource {
    for (const chunk of measured.packer.head()) {
      digest.update(chunk)
      yield chunk
    }
    for await (const chunk of packedBody(source, source.packing.start(), compressors, signal, onRead)) {
      digest.update(chunk)
      yield chunk
    }
  }
  const { length } = measured
  await upload.putPart({ number: 1, offset: 0, length }, file(), signal)
  return { bytes: length, parts: 1, sha256: digest.digest('hex'), composite: null }
}
