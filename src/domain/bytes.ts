/**
 * Bytes on their way, pulled by whoever sends or stores them: a slow reader slows the source.
 *
 * A chunk is borrowed: it is valid until the next one is asked for, then its buffer is used again.
 * So a consumer finishes with a chunk (written out, copied) before it asks for another; `Readable.from`
 * and `pipeline` do not keep that promise and may not be given a ByteSource.
 */
export type ByteSource = AsyncIterable<Uint8Array>

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
export const TiB = 1024 * GiB

/** The smallest multiple of `unit` that is not below `bytes`. */
export const roundUp = (bytes: number, unit: number): number => Math.ceil(bytes / unit) * unit

export const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value))

/** What is short enough to be sent at once. */
export async function* oneChunk(bytes: Uint8Array): ByteSource {
  yield bytes
}
