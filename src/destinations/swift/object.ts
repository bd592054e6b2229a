import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Found, Marks, Removed, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import type { Range } from '../get.ts'
import { type Audience, objectHeaders, type Present } from './headers.ts'
import type { Objects } from './objects.ts'
import { isInSegmentsContainer, type Place, pathOf } from './place.ts'
import { NOTHING_REPLACED, type Replaced } from './replaced.ts'
import { listSegments, removeSegments, type SegmentPath, segmentsOf } from './segments.ts'

/** A UUID. */
const EXPORT_ID = /^[0-9a-f-]{36}$/

/** The object that a target names, as its credentials reach it. */
export class SwiftObject {
  readonly objects: Objects
  readonly place: Place
  /** Below the account, percent-encoded. */
  readonly path: string
  /** Credentials for this object only neither know a manifest nor may touch segments. */
  readonly alone: boolean
  readonly #marks: Marks

  constructor(objects: Objects, place: Place, marks: Marks, alone: boolean) {
    this.objects = objects
    this.place = place
    this.path = pathOf(place.container, place.object)
    this.alone = alone
    this.#marks = marks
  }

  host(signal: AbortSignal): Promise<string> {
    return this.objects.account.host(signal)
  }

  headers(target: UploadTarget): Record<string, string> {
    const audience: Audience = this.alone ? 'temporary URLs' : 'readers'
    return objectHeaders(target, audience)
  }

  find(signal: AbortSignal): Promise<Present | { readonly status: 'absent' | 'unreadable' }> {
    return this.objects.find(this.path, signal)
  }

  isOurs(found: Found | Present): found is Present {
    return found.status === 'present' && found.exportId === this.#marks.exportId
  }

  read(range: Range, signal: AbortSignal): ByteSource {
    return this.objects.read(this.path, range, signal)
  }

  /**
   * Looks at what stands there, shortly before it would be replaced. Ceph ignores `If-None-Match`, so the look has to do there.
   * @returns the condition to write under, and the segments that nothing will name afterwards
   * @throws DestinationError DEST_OBJECT_EXISTS
   */
  async beforeWriting(
    { object: { replace } }: UploadTarget,
    signal: AbortSignal
  ): Promise<{ readonly condition: Record<string, string>; readonly replaced: Replaced }> {
    const found = await this.find(signal)
    // Ours is there when the answer to an earlier try was lost.
    if (!replace && found.status === 'present' && !this.isOurs(found)) {
      throw failure('objectExists', await this.host(signal))
    }
    const replaced =
      found.status === 'present' && found.segmented && !this.alone
        ? await this.#segments(found, signal)
        : NOTHING_REPLACED
    return { condition: !replace && found.status !== 'present' ? { 'if-none-match': '*' } : {}, replaced }
  }

  /** Removes segments that were replaced, but for those in use. */
  async removeReplaced(
    { segments, others }: Replaced,
    inUse: ReadonlySet<SegmentPath>,
    signal: AbortSignal
  ): Promise<void> {
    const left = segments.filter((path) => !inUse.has(path))
    await removeSegments(this.objects, left, signal)
    if (others) throw failure('othersKept', await this.host(signal))
  }

  /**
   * What is known of the object that has just been written. The new one is whole already, so what cannot be removed of the
   * one that it has replaced is told and no failure.
   */
  async written(
    { url }: UploadTarget,
    etag: string | undefined,
    replaced: Replaced,
    inUse: ReadonlySet<SegmentPath>,
    signal: AbortSignal
  ): Promise<Committed> {
    const committed = { location: url.href, ...(etag !== undefined && { etag }) }
    try {
      await this.removeReplaced(replaced, inUse, signal)
      return committed
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof DestinationError)) throw error
      return { ...committed, left: { what: 'segments of the object that was replaced', error } }
    }
  }

  /** Removes the object with its segments; one that is gone is no error. */
  async remove(signal: AbortSignal): Promise<Removed> {
    const found = await this.find(signal)
    return found.status === 'absent' ? [] : this.#remove(found.status === 'present' && found.segmented, signal)
  }

  /** Removes the object with its segments if it is of this export. */
  async removeOurs(signal: AbortSignal): Promise<Removed> {
    const found = await this.find(signal)
    return this.isOurs(found) ? this.#remove(found.segmented, signal) : []
  }

  /** A manifest may name any object of the account. What is in the container for segments is nothing else. */
  async #segments({ exportId }: Present, signal: AbortSignal): Promise<Replaced> {
    const named = await segmentsOf(this.objects, this.path, signal)
    if (named !== undefined) {
      const segments = named.filter((path) => isInSegmentsContainer(path, this.place.container))
      return { segments, others: segments.length < named.length }
    }
    // Ceph does not show a manifest; those of an export can be found without.
    if (exportId === undefined || !EXPORT_ID.test(exportId)) return { segments: [], others: true }
    const listed = await listSegments(this.objects, this.place, exportId, signal)
    return { segments: listed.map(({ path }) => path), others: false }
  }

  async #remove(segmented: boolean, signal: AbortSignal): Promise<Removed> {
    if (segmented && !this.alone) await this.objects.deleteWithSegments(this.path, signal)
    else await this.objects.delete(this.path, signal)
    return ['object']
  }
}
