import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Part, Upload, UploadState, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { PartsUnderWay } from '../under-way.ts'
import type { MultipartCalls } from './multipart.ts'
import { partBytes } from './parts.ts'

/** One multipart upload that S3 has given an id. */
export class S3Upload implements Upload {
  readonly partBytes: number
  readonly parallel = 4
  readonly state: UploadState
  readonly #calls: MultipartCalls
  readonly #target: UploadTarget
  readonly #uploadId: string
  readonly #underWay = new PartsUnderWay()
  readonly #etags = new Map<number, string>()
  #sentBytes = 0
  #commit: 'not begun' | 'begun' | 'done' = 'not begun'

  constructor(calls: MultipartCalls, target: UploadTarget, uploadId: string) {
    this.#calls = calls
    this.#target = target
    this.#uploadId = uploadId
    this.partBytes = partBytes(target.length)
    this.state = { uploadId }
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<void> {
    return this.#underWay.run(signal, async (either) => {
      this.#etags.set(part.number, await this.#calls.sendPart(this.#uploadId, part, body, either))
      this.#sentBytes += part.length
    })
  }

  async commit(signal: AbortSignal): Promise<string> {
    this.#commit = 'begun'
    try {
      await this.#calls.complete(this.#uploadId, this.#etags, signal)
    } catch (error) {
      if (!leavesOutcomeOpen(error)) throw error
      await this.#confirmAfter(error, signal)
    }
    const found = await this.#calls.find(signal)
    if (found.status === 'absent') throw failure('outcomeUnknown', this.#calls.host)
    if (found.status === 'present' && found.length !== this.#wholeBytes) {
      throw failure('lengthDiffers', this.#calls.host)
    }
    this.#commit = 'done'
    return this.#target.url.href
  }

  async abort(): Promise<void> {
    if (this.#commit === 'done') return
    await this.#underWay.stop()
    const { signal } = new AbortController()
    await this.#calls.abort(this.#uploadId, signal)
    if (this.#commit === 'begun') await this.#removeMisfit(signal)
  }

  get #wholeBytes(): number {
    return this.#target.exact ? this.#target.length : this.#sentBytes
  }

  /** The upload may have been completed although its answer was lost: then the object is there and it is ours. */
  async #confirmAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const found = await this.#calls.find(signal).catch(() => {
      signal.throwIfAborted()
      throw failure('outcomeUnknown', this.#calls.host, { cause: error })
    })
    if (found.status === 'present' && found.ours) return
    if (found.status === 'unreadable') throw failure('outcomeUnknown', this.#calls.host, { cause: error })
    throw error
  }

  /** A commit that failed may have left an object. A whole one stays: somebody may have been told of it. */
  async #removeMisfit(signal: AbortSignal): Promise<void> {
    const found = await this.#calls.find(signal)
    if (found.status === 'present' && found.ours && found.length !== this.#wholeBytes) await this.#calls.remove(signal)
  }
}

/** No answer, a server's own error, or an upload that is gone because an earlier request has completed it. */
const leavesOutcomeOpen = (error: unknown): boolean =>
  error instanceof DestinationError &&
  !error.permanent &&
  ['DEST_UNREACHABLE', 'DEST_REJECTED', 'DEST_THROTTLED', 'DEST_COMMIT_FAILED'].includes(error.code)
