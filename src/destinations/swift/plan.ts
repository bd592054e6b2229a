import { MiB, roundUp } from '../../domain/bytes.ts'
import { failure } from '../failures.ts'
import { assertHoldable } from '../held-parts.ts'
import type { ClusterLimits } from './info.ts'
import { type Place, pathOf, segmentsContainer } from './place.ts'

/** How an object is written: with one PUT, or as segments of `partBytes` that a manifest joins. */
export type Plan = { readonly how: 'one request' | 'segments'; readonly partBytes: number; readonly parts: number }

/**
 * Parts of compressed formats wait in memory, several at once; larger ones gain nothing on the way either, as four are sent
 * together.
 */
const SMALLEST_SEGMENT_BYTES = 16 * MiB
/** Of the segments a manifest may have: room for clusters that count otherwise. */
const PLANNED_SHARE = 0.9
const NUMBER_DIGITS = 8
/** What a manifest says of a segment besides its name. */
const ENTRY_BYTES = 100

/** The object's place and how it would be written, as far as that decides how it is written. */
export type Planned = {
  readonly place: Place
  readonly exportId: string
  readonly length: number
  readonly exact: boolean
  readonly virtual: boolean
  /** Whether the credentials are good for more than the one object, which segments need. */
  readonly segments: boolean
}

/** Everything an export keeps in the segments container is below this. */
export const segmentPrefix = (place: Place, exportId: string): string => `${place.object}/${exportId}/`

export const segmentName = (place: Place, exportId: string, number: number): string =>
  `${segmentPrefix(place, exportId)}${String(number).padStart(NUMBER_DIGITS, '0')}`

const NUMBER = new RegExp(`^\\d{${NUMBER_DIGITS}}$`)

/** Whether a name is one that an export gives its segments. Another below its prefix is not the export's to remove. */
export const isSegmentName = (name: string, prefix: string): boolean =>
  name.startsWith(prefix) && NUMBER.test(name.slice(prefix.length))

/** Below the account, percent-encoded. */
export const segmentPath = (place: Place, exportId: string, number: number): string =>
  pathOf(segmentsContainer(place.container), segmentName(place, exportId, number))

/**
 * @param host for messages
 * @throws DestinationError DEST_LIMIT_EXCEEDED
 */
export function planUpload(planned: Planned, limits: ClusterLimits, host: string): Plan {
  const { place, exportId, length, exact, segments } = planned
  if (Buffer.byteLength(place.object) > limits.maxNameBytes) throw failure('nameTooLong', host)
  const slo = segments ? limits.slo : undefined
  if (slo === undefined) {
    // One whose length is not known would have to wait in memory until it is.
    if (length > (exact ? limits.maxFileBytes : SMALLEST_SEGMENT_BYTES)) {
      throw failure(segments ? 'tooLarge' : 'needsSegments', host)
    }
    return onePut(length)
  }

  const largest = limits.maxFileBytes - 1
  if (length <= Math.min(SMALLEST_SEGMENT_BYTES, largest)) return onePut(length)

  const name = segmentName(place, exportId, 1)
  if (Buffer.byteLength(name) > limits.maxNameBytes) throw failure('nameTooLong', host)
  const entryBytes = Buffer.byteLength(pathOf(segmentsContainer(place.container), name)) + ENTRY_BYTES
  const most = Math.min(slo.maxSegments, Math.floor(slo.maxManifestBytes / entryBytes))
  const wanted = roundUp(Math.ceil(length / Math.max(1, Math.floor(most * PLANNED_SHARE))), MiB)
  const partBytes = Math.min(Math.max(wanted, SMALLEST_SEGMENT_BYTES, slo.minSegmentBytes), largest)
  const parts = Math.ceil(length / partBytes)
  if (parts > most) throw failure('tooLarge', host)
  assertHoldable(planned, partBytes, host)
  return { how: 'segments', partBytes, parts }
}

const onePut = (length: number): Plan => ({ how: 'one request', partBytes: Math.max(1, length), parts: 1 })
