import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { unpackBlock } from '../blocks/unpack.ts'
import type { Compression } from './header.ts'
import { zstdFrameBytes } from './zstd-frame.ts'

const inflateRaw = promisify(zlib.inflateRaw)
const zstdDecompress: (bytes: Buffer, options: zlib.ZstdOptions) => Promise<Buffer> = promisify(zlib.zstdDecompress)

/** The window every zstd decoder should support, 8 MiB (RFC 8878, 3.1.1.1.2); an image may not ask for more memory. */
const ZSTD_WINDOW_LOG_MAX = 23

/**
 * One cluster from its compressed bytes; what follows them up to the end of their last sector is ignored.
 * Throws ImageUnsafe unless they make exactly `clusterBytes`; no more than that is ever made.
 */
export async function inflateCluster(bytes: Buffer, clusterBytes: number, compression: Compression): Promise<Buffer> {
  return unpackBlock(clusterBytes, clusterBytes, async (bounds) =>
    compression === 'zlib'
      ? inflateRaw(bytes, bounds)
      : zstdDecompress(bytes.subarray(0, zstdFrameBytes(bytes)), {
          ...bounds,
          params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX }
        })
  )
}
