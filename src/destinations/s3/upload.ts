import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import type { Begun } from '../recorded-parts.ts'
import { PartsUnderWay } from '../under-way.ts'
import type { BegunUpload } from './begin.ts'
import type { Head, MultipartCalls } from './multipart.ts'
import { isMd5, type Proof } from './send-part.ts'

/**
 * One multipart upload that S3 has given an id. Small objects are sent this way too: one PUT would be two requests fewer, but
 * the object would be visible before `commit`, and Swift refuses a PUT that may not replace (501).
 */
export class S3Upload implements Upload {
  readonly partBytes: number
  readonly parallel = 4
  readonly state: UploadState
  readonly #calls: MultipartCalls
  readonly #target: UploadTarget
  readonly #uploadId: string
  readonly #underWay = new PartsUnderWay()
  readonly #parts = new Map<number, { readonly etag: string; readonly length: number }>()
  #commit: 'not begun' | 'begun' | 'done' = 'not begun'
  readonly #proof: Proof
  #unproved: boolean
  /** The object is whole but not as it was asked for. */
  #unfit = false

  constructor(calls: MultipartCalls, target: UploadTarget, { uploadId, proof, partBytes, kept }: BegunUpload & Begun) {
    this.#calls = calls
    this.#target = target
    this.#uploadId = uploadId
    this.#proof = proof
    this.#unproved = proof === 'none' || (proof === 'etag' && kept.some(({ tag = '' }) => !isMd5(tag)))
    this.partBytes = partBytes
    this.state = { uploadId, partBytes: String(partBytes), proof }
    for (const { number, bytes, tag = '' } of kept) this.#parts.set(number, { etag: tag, length: bytes })
  }

  get unproved(): boolean {
    return this.#unproved
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, async (either) => {
      const how = { proof: this.#proof, signal: either }
      const { etag, proved } = await this.#calls.sendPart(this.#uploadId, part, body, how)
      this.#unproved ||= !proved
      this.#parts.set(part.number, { etag, length: part.length })
      return { number: part.number, bytes: part.length, tag: etag }
    })
  }

  async commit(signal: AbortSignal): Promise<Committed> {
    await this.#refuseOther(signal)
    this.#commit = 'begun'
    try {
      await this.#complete(signal)
    } catch (error) {
      if (!leavesOutcomeOpen(error)) throw error
      await this.#confirmAfter(error, signal)
    }
    const found = await this.#calls.head(signal)
    if (found.status === 'absent') throw failure('outcomeUnknown', this.#calls.host)
    if (found.status === 'present' && found.length !== this.#wholeBytes) {
      throw failure('lengthDiffers', this.#calls.host)
    }
    await this.#tag(found, signal)
    this.#commit = 'done'
    return { location: this.#target.url.href, ...(found.etag !== undefined && { etag: found.etag }) }
  }

  async abort(): Promise<Removed> {
    if (this.#commit === 'done') return []
    await this.#underWay.stop()
    const { signal } = new AbortController()
    const removed = (await this.#calls.abort(this.#uploadId, signal)) ? removedUpload(this.#parts.size) : []
    return this.#commit === 'begun' ? [...removed, ...(await this.#removeMisfit(signal))] : removed
  }

  get #wholeBytes(): number {
    if (this.#target.exact) return this.#target.length
    return [...this.#parts.values()].reduce((sum, { length }) => sum + length, 0)
  }

  /** Ceph 16 ignores the condition in the completing call, so it is asked for here too. */
  async #refuseOther(signal: AbortSignal): Promise<void> {
    if (this.#target.object.replace) return
    const found = await this.#calls.head(signal)
    if (found.status === 'present' && !this.#isOurs(found)) throw failure('objectExists', this.#calls.host)
  }

  async #complete(signal: AbortSignal): Promise<void> {
    const etags = new Map([...this.#parts].map(([number, { etag }]) => [number, etag]))
    const { replace } = this.#target.object
    try {
      await this.#calls.complete(this.#uploadId, etags, replace, signal)
    } catch (error) {
      const unknownCondition = !replace && error instanceof DestinationError && error.upstreamStatus === 501
      if (!unknownCondition) throw error
      await this.#calls.complete(this.#uploadId, etags, true, signal)
    }
  }

  /** The upload may have been completed although its answer was lost: then the object is there and it is ours. */
  async #confirmAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const found = await this.#calls.head(signal).catch(() => {
      signal.throwIfAborted()
      throw failure('outcomeUnknown', this.#calls.host, { cause: error })
    })
    if (this.#isOurs(found)) return
    if (found.status === 'unreadable' && !isConflict(error))
      throw failure('outcomeUnknown', this.#calls.host, { cause: error })
    throw error
  }

  /** Ceph 16 drops the tags that a multipart upload was created with. */
  async #tag(found: Head, signal: AbortSignal): Promise<void> {
    const { tags = {} } = this.#target.object
    const count = Object.keys(tags).length
    if (count === 0 || found.tags === count) return
    this.#unfit = true
    await this.#calls.tag(tags, signal)
    this.#unfit = false
  }

  /** A commit that failed may have left an object. A whole one stays: somebody may have been told of it. */
  async #removeMisfit(signal: AbortSignal): Promise<Removed> {
    const found = await this.#calls.head(signal)
    const misfit = this.#isOurs(found) && (found.length !== this.#wholeBytes || this.#unfit)
    if (!misfit) return []
    await this.#calls.remove(signal)
    return ['object']
  }

  #isOurs(found: Head): found is Extract<Head, { status: 'present' }> {
    return found.status === 'present' && found.exportId === this.#target.marks.exportId
  }
}

/** What an abort has removed, in words. */
export function removedUpload(parts: number): Removed {
  if (parts === 0) return ['multipart upload']
  return [`multipart upload with ${parts} ${parts === 1 ? 'part' : 'parts'}`]
}

const isConflict = (error: unknown): boolean => error instanceof DestinationError && error.code === 'DEST_OBJECT_EXISTS'

/**
 * No answer, a server's own error, an upload that is gone because an earlier request has completed it, or an object that is
 * in the way and may be the one that this upload has made.
 */
const leavesOutcomeOpen = (error: unknown): boolean =>
  isConflict(error) ||
  (error instanceof DestinationError &&
    !error.permanent &&
    ['DEST_UNREACHABLE', 'DEST_REJECTED', 'DEST_THROTTLED', 'DEST_COMMIT_FAILED'].includes(error.code))
