import { ImageUnsafe } from '../../domain/errors.ts'

export type UnpackBounds = { readonly maxOutputLength: number; readonly chunkSize: number }

/**
 * One block from its compressed bytes; no more than `blockBytes` are ever made.
 * Throws ImageUnsafe unless the decompressor makes `least` to `blockBytes` bytes.
 */
export async function unpackBlock(
  blockBytes: number,
  least: number,
  decompress: (bounds: UnpackBounds) => Promise<Buffer>
): Promise<Buffer> {
  let block: Buffer
  try {
    // Some room more than a block, or zlib would take a second buffer to find that nothing follows.
    block = await decompress({ maxOutputLength: blockBytes, chunkSize: blockBytes + 64 })
  } catch (cause) {
    throw new ImageUnsafe('compressed_data', 'a compressed block of its disk cannot be decompressed', { cause })
  }
  if (block.length < least) throw new ImageUnsafe('compressed_data', 'a compressed block of its disk is too short')
  return block
}
