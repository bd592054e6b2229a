import { GiB, MiB, roundUp } from '../../domain/bytes.ts'

const SMALLEST_PART_BYTES = 16 * MiB
const LARGEST_PART_BYTES = 5 * GiB
export const MAX_PARTS = 10_000
/** Below MAX_PARTS, so that stores that count differently still take the upload. */
const PLANNED_PARTS = 9_000

/** What the largest upload can hold: 48.8 TiB. */
export const MAX_OBJECT_BYTES = MAX_PARTS * LARGEST_PART_BYTES
/** What one PUT can hold. */
export const MAX_PUT_BYTES = LARGEST_PART_BYTES

/**
 * Size of every part but the last of a multipart upload.
 * @param length bytes of the object, or the most it can have: 1 to MAX_OBJECT_BYTES
 * @param most parts that may be used, where that is fewer than S3 allows
 * @returns bytes, a whole number of MiB, 16 MiB to 5 GiB
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
 */
export function partBytes(length: number, most = PLANNED_PARTS): number {
  const planned = roundUp(Math.ceil(length / Math.min(most, PLANNED_PARTS)), MiB)
  return Math.min(Math.max(planned, SMALLEST_PART_BYTES), LARGEST_PART_BYTES)
}

/** How an object is cut. */
export type PartPlan = { readonly partBytes: number; readonly parts: number }

/** The plan for an object of at most `length` bytes; `parts` counts what that many bytes need. */
export const planOf = (length: number, bytes = partBytes(length)): PartPlan => ({
  partBytes: bytes,
  parts: Math.max(1, Math.ceil(length / bytes))
})
