import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import type { Begun } from '../recorded-parts.ts'
import { PartsUnderWay } from '../under-way.ts'
import { expiryHeaders } from './headers.ts'
import { manifestRefusal, type Segment } from './manifest.ts'
import type { SwiftObject } from './object.ts'
import { segmentPath } from './plan.ts'
import { joined, NOTHING_REPLACED } from './replaced.ts'
import { ensureSegmentsContainer, forEachOf, removeSegments, type SegmentPath } from './segments.ts'

/** A static large object: segments in a container beside the object's, joined by a manifest that makes the object appear. */
export class SegmentedUpload implements Upload {
  readonly partBytes: number
  readonly parallel = 4
  /** The segments' names follow from the object's and the export's. */
  readonly state: UploadState
  readonly #object: SwiftObject
  readonly #target: UploadTarget
  readonly #underWay = new PartsUnderWay()
  /** All that may have to be removed. */
  readonly #tried: Set<SegmentPath>
  readonly #sent = new Map<number, Segment>()
  #replaced = NOTHING_REPLACED
  #commit: 'not begun' | 'begun' | 'done' = 'not begun'

  /** @param stands segments of this export that may be there already, those of `begun` among them */
  constructor(object: SwiftObject, target: UploadTarget, { partBytes, kept }: Begun, stands: Iterable<SegmentPath>) {
    this.#object = object
    this.#target = target
    this.partBytes = partBytes
    this.state = { partBytes: String(partBytes) }
    this.#tried = new Set(stands)
    for (const part of kept) this.#confirm(part)
  }

  putPart({ number, length }: Part, source: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, async (either) => {
      const { objects, place } = this.#object
      const path = this.#path(number)
      this.#tried.add(path)
      const headers = { 'content-type': 'application/octet-stream' }
      try {
        const etag = await objects.put(path, headers, { length, source }, either)
        return this.#confirm({ number, bytes: length, tag: etag })
      } catch (error) {
        if (!isGone(error)) throw error
        // Somebody has removed the empty container after it was seen.
        await ensureSegmentsContainer(objects, place, either)
        throw failure('uploadGone', await this.#object.host(either), { cause: error })
      }
    })
  }

  #path(number: number): SegmentPath {
    return segmentPath(this.#object.place, this.#target.marks.exportId, number)
  }

  #confirm(part: SentPart): SentPart {
    const { number, bytes, tag = '' } = part
    this.#sent.set(number, { path: decodeURIComponent(this.#path(number)), etag: tag, size_bytes: bytes })
    return part
  }

  async commit(signal: AbortSignal): Promise<Committed> {
    const object = this.#object
    // One point in time for all of it, counted from now: the segments may have taken longer than the object shall live.
    const expiry = expiryHeaders(this.#target, Date.now())
    if (Object.keys(expiry).length > 0) {
      await forEachOf(this.#sent.keys(), (part) => object.objects.setHeaders(this.#path(part), expiry, signal))
    }
    const { condition, replaced } = await object.beforeWriting(this.#target, signal)
    // A try whose answer was lost may have replaced them already.
    this.#replaced = joined(this.#replaced, replaced)
    this.#commit = 'begun'
    await this.#publish({ ...object.headers(this.#target), ...expiry, ...condition }, signal)

    const found = await object.find(signal)
    if (found.status === 'absent') throw failure('outcomeUnknown', await object.host(signal))
    if (found.status === 'present' && found.length !== this.#wholeBytes) {
      throw failure('lengthDiffers', await object.host(signal))
    }
    this.#commit = 'done'
    const etag = found.status === 'present' ? found.etag : undefined
    return object.written(this.#target, etag, this.#replaced, this.#tried, signal)
  }

  async abort(): Promise<Removed> {
    if (this.#commit === 'done') return []
    await this.#underWay.stop()
    const { signal } = new AbortController()
    if (this.#commit === 'begun') {
      const found = await this.#object.find(signal)
      // A whole object stays: somebody may have been told of it.
      if (this.#object.isOurs(found) && found.length === this.#wholeBytes) return []
    }
    if (this.#tried.size === 0) return []
    const removed = await removeSegments(this.#object.objects, [...this.#tried], signal)
    await this.#removeBroken(signal)
    this.#tried.clear()
    return removed === 0 ? [] : [`${removed} ${removed === 1 ? 'segment' : 'segments'}`]
  }

  get #wholeBytes(): number {
    return [...this.#sent.values()].reduce((sum, { size_bytes }) => sum + size_bytes, 0)
  }

  /** Sends the manifest. When nobody said what became of it, the object tells. */
  async #publish(headers: Record<string, string>, signal: AbortSignal): Promise<void> {
    const { objects, path } = this.#object
    const segments = [...this.#sent].sort(([a], [b]) => a - b).map(([, segment]) => segment)
    try {
      const answer = await objects.account.send(
        {
          method: 'PUT',
          path,
          query: { 'multipart-manifest': 'put', heartbeat: 'on' },
          headers: { ...headers, accept: 'application/json' },
          bytes: Buffer.from(JSON.stringify(segments)),
          isLong: true
        },
        signal
      )
      const refusal = manifestRefusal(answer, await this.#object.host(signal))
      if (refusal) throw refusal
    } catch (error) {
      if (!leavesOutcomeOpen(error)) throw error
      await this.#confirmAfter(error, signal)
    }
  }

  async #confirmAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const unknown = async () => failure('outcomeUnknown', await this.#object.host(signal), { cause: error })
    const found = await this.#object.find(signal).catch(async () => {
      signal.throwIfAborted()
      throw await unknown()
    })
    if (this.#object.isOurs(found)) return
    if (found.status === 'unreadable') throw await unknown()
    throw error
  }

  /** A manifest that came through although nobody said so, or from a worker given up for dead, names what is gone now. */
  async #removeBroken(signal: AbortSignal): Promise<void> {
    const { objects, path } = this.#object
    if (!this.#object.isOurs(await this.#object.find(signal))) return
    await objects.delete(path, signal)
    await this.#object.removeReplaced(this.#replaced, new Set(), signal)
  }
}

const isGone = (error: unknown): boolean => error instanceof DestinationError && error.upstreamStatus === 404

/** No answer, or an error of the server's own. */
const leavesOutcomeOpen = (error: unknown): boolean =>
  error instanceof DestinationError &&
  !error.permanent &&
  ['DEST_UNREACHABLE', 'DEST_REJECTED', 'DEST_THROTTLED', 'DEST_COMMIT_FAILED'].includes(error.code)
