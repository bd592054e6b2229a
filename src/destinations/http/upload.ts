import { setTimeout as sleep } from 'node:timers/promises'
import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { answerFailure, failure } from '../failures.ts'
import { hasOwnName } from '../own-name.ts'
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
  /** What may stand there of this upload: `refused` says that the one answer there was is a refusal. */
  #ours: 'nothing' | 'refused' | 'unclear' | 'all' = 'nothing'
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
      const isFirst = this.#ours === 'nothing' || this.#ours === 'refused'
      const onlyNew = !object.replace && isFirst ? { 'if-none-match': '*' } : undefined
      this.#ours = 'unclear'
      this.#answered = false
      const answer = await this.#object.send(part.length, body, { 'content-type': mediaType }, either, onlyNew)
      this.#answered = true
      if (answer.status < 200 || answer.status >= 300) {
        const error = answerFailure(this.#object.host, answer)
        if (isFirst && error.permanent && answer.status < 500) this.#ours = 'refused'
        if (answer.status === PRECONDITION_FAILED) this.#ours = 'nothing'
        throw error
      }
      this.#ours = 'all'
      this.#etag = answer.headers.etag
      return { number: part.number, bytes: part.length }
    })
  }

  /** The server took all and said so. Some keep less (rclone, of a connection that broke); where it can be seen, it is. */
  async commit(signal: AbortSignal): Promise<Committed> {
    const found = await this.#object.look(signal).catch(unlessAborted(signal))
    const { length = this.#target.length } = found?.status === 'present' ? found : {}
    if (length !== this.#target.length) throw failure('lengthDiffers', this.#object.host)
    this.#ours = 'nothing'
    this.#object[Symbol.dispose]()
    return { location: this.#target.url.href, ...(this.#etag !== undefined && { etag: this.#etag }) }
  }

  async abort(): Promise<Removed> {
    await this.#underWay.stop()
    try {
      // What stands there after a refusal is somebody else's, where anybody else can know the name.
      if (this.#ours === 'nothing' || (this.#ours === 'refused' && !hasOwnName(this.#target))) return []
      const removed = await this.#clear(this.#ours === 'all' || hasOwnName(this.#target), new AbortController().signal)
      this.#ours = 'nothing'
      return removed
    } finally {
      this.#object[Symbol.dispose]()
    }
  }

  /**
   * A server may still be busy with what it got of a request that broke off, and make anew what was removed (rclone): so what
   * is gone is looked for once more.
   */
  async #clear(isOurs: boolean, signal: AbortSignal): Promise<Removed> {
    const removed = new Set<Removed[number]>()
    let gone = 0
    for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
      if (looks > 0) await sleep(REST_MS)
      for (const what of await clear(this.#object, this.#target, this.state, signal, isOurs)) removed.add(what)
      const now = await this.#object.look(signal)
      const isThere = now.status === 'present' && mayBeOurs(now, this.state, isOurs)
      gone = isThere ? 0 : gone + 1
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
 * @param isOurs whether it is known that nothing else can stand there
 */
export async function clear(
  object: HttpObject,
  target: UploadTarget,
  state: UploadState,
  signal: AbortSignal,
  isOurs = hasOwnName(target)
): Promise<Removed> {
  const now = await object.look(signal)
  return mayBeOurs(now, state, isOurs) ? object.remove(signal) : []
}

function mayBeOurs(now: Look, { before, version }: UploadState, isOurs: boolean): boolean {
  if (now.status === 'absent') return false
  if (now.status === 'unreadable') return isOurs || before === 'absent'
  return now.version !== version
}

/** No answer to the look after a whole upload proves nothing against it. */
const unlessAborted =
  (signal: AbortSignal) =>
  (error: unknown): undefined => {
    signal.throwIfAborted()
    if (!(error instanceof DestinationError)) throw error
  }
