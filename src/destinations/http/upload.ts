import { setTimeout as sleep } from 'node:timers/promises'
import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { answerFailure, failure } from '../failures.ts'
import { PartsUnderWay } from '../under-way.ts'
import { type HttpObject, type Look, REST_MS } from './object.ts'

const PRECONDITION_FAILED = 412
const MOST_LOOKS = 10

/** One PUT of the whole file. */
export class HttpUpload implements Upload {
  readonly partBytes: number
  readonly parallel = 1
  readonly state: UploadState
  readonly #object: HttpObject
  readonly #target: UploadTarget
  readonly #underWay = new PartsUnderWay()
  #remains = false
  #answered = true
  #etag: string | undefined

  constructor(object: HttpObject, target: UploadTarget, before: Look) {
    this.#object = object
    this.#target = target
    this.partBytes = target.length
    this.state = stateOf(before)
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, async (either) => {
      const { mediaType, object } = this.#target
      // Sent again, what stands there may be our own, whose answer was lost.
      const onlyNew = !object.replace && !this.#remains ? { 'if-none-match': '*' } : undefined
      this.#remains = true
      this.#answered = false
      const answer = await this.#object.send(part.length, body, { 'content-type': mediaType }, either, onlyNew)
      this.#answered = true
      // What stands there is somebody else's.
      if (answer.status === PRECONDITION_FAILED) this.#remains = false
      if (answer.status < 200 || answer.status >= 300) throw answerFailure(this.#object.host, answer)
      this.#etag = answer.headers.etag
      return { number: part.number, bytes: part.length }
    })
  }

  /** The server took all and said so. Some keep less (rclone, of a connection that broke); where it can be seen, it is. */
  async commit(signal: AbortSignal): Promise<Committed> {
    const found = await this.#object.look(signal).catch(unlessAborted(signal))
    const { length = this.#target.length } = found?.status === 'present' ? found : {}
    if (length !== this.#target.length) throw failure('lengthDiffers', this.#object.host)
    this.#remains = false
    this.#object[Symbol.dispose]()
    return { location: this.#target.url.href, ...(this.#etag !== undefined && { etag: this.#etag }) }
  }

  async abort(): Promise<Removed> {
    await this.#underWay.stop()
    try {
      if (!this.#remains) return []
      const removed = await this.#clear(new AbortController().signal)
      this.#remains = false
      return removed
    } finally {
      this.#object[Symbol.dispose]()
    }
  }

  /**
   * A server may still be busy with what it got of a request that broke off, and make anew what was removed (rclone): so what
   * is gone is looked for once more.
   */
  async #clear(signal: AbortSignal): Promise<Removed> {
    const removed = new Set<Removed[number]>()
    let gone = 0
    for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
      if (looks > 0) await sleep(REST_MS)
      for (const what of await clear(this.#object, this.#target, this.state, signal)) removed.add(what)
      const now = await this.#object.look(signal)
      gone = now.status !== 'present' || now.version === this.state.version ? gone + 1 : 0
      if (gone === (this.#answered ? 1 : 2)) return [...removed]
    }
    throw failure('notRemoved', this.#object.host)
  }
}

/** The time when the upload began is seen by what stood there. */
const stateOf = (before: Look): UploadState => ({ before: before.status, version: before.version })

/**
 * Removes what an upload left at the target's URL. What stood there before and was not touched stays; so does what cannot be
 * told from it.
 */
export async function clear(
  object: HttpObject,
  target: UploadTarget,
  { before, version }: UploadState,
  signal: AbortSignal
): Promise<Removed> {
  const now = await object.look(signal)
  if (now.status === 'absent') return []
  if (now.status === 'present' && now.version === version) return []
  const wasEmpty = before === 'absent' || !target.object.replace
  if (now.status === 'unreadable' && !wasEmpty) return []
  return object.remove(signal)
}

/** No answer to the look after a whole upload proves nothing against it. */
const unlessAborted =
  (signal: AbortSignal) =>
  (error: unknown): undefined => {
    signal.throwIfAborted()
    if (!(error instanceof DestinationError)) throw error
  }
