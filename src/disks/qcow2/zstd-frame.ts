import { ImageUnsafe } from '../../domain/errors.ts'

const MAGIC = 0xfd2fb528
const RLE_BLOCK = 1
const RESERVED_BLOCK = 3

/**
 * Length in bytes of the zstd frame that `bytes` begin with, from its block headers. qcow2 knows compressed bytes by
 * sectors only, and Node's one-shot decoder wants to have them exactly.
 * Throws ImageUnsafe when it is no frame or does not end within `bytes`.
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
 */
export function zstdFrameBytes(bytes: Buffer): number {
  const cut = () => new ImageUnsafe('compressed_data', 'a compressed cluster is no whole zstd frame')
  if (bytes.length < 6 || bytes.readUInt32LE(0) !== MAGIC) throw cut()
  const descriptor = bytes.readUInt8(4)
  const singleSegment = (descriptor & 0x20) !== 0
  const windowBytes = singleSegment ? 0 : 1
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  let at = 5 + windowBytes + dictionaryBytes + sizeBytes
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) throw cut()
    const header = bytes.readUIntLE(at, 3)
    const type = (header >> 1) & 3
    if (type === RESERVED_BLOCK) throw cut()
    at += 3 + (type === RLE_BLOCK ? 1 : header >> 3)
    last = (header & 1) !== 0
  }
  const end = at + ((descriptor & 4) !== 0 ? 4 : 0)
  if (end > bytes.length) throw cut()
  return end
}
