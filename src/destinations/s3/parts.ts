import { GiB, MiB, roundUp } from '../../domain/bytes.ts'

const SMALLEST_PART_BYTES = 16 * MiB
const LARGEST_PART_BYTES = 5 * GiB
const MAX_PARTS = 10_000
/** Below MAX_PARTS, so that stores that count differently still take the upload. */
const PLANNED_PARTS = 9_000

/** What the largest upload can hold: 48.8 TiB. */
export const MAX_OBJECT_BYTES = MAX_PARTS * LARGEST_PART_BYTES

/**
 * Size of every part but the last of a multipart upload.
 * @param length bytes of the object, 1 to MAX_OBJECT_BYTES
 * @returns bytes, a whole number of MiB, 16 MiB to 5 GiB
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
 */
export function partBytes(length: number): number {
  const planned = roundUp(Math.ceil(length / PLANNED_PARTS), MiB)
  return Math.min(Math.max(planned, SMALLEST_PART_BYTES), LARGEST_PART_BYTES)
}
