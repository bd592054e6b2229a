import type { ByteSource } from '../../domain/bytes.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadTarget } from '../destination.ts'
import { PartsUnderWay } from '../under-way.ts'
import { expiryHeaders } from './headers.ts'
import type { SwiftObject } from './object.ts'
import { joined, NOTHING_REPLACED } from './replaced.ts'

/**
 * An object that is written with one PUT. Swift shows it as soon as it has all of it and keeps nothing of a broken request, so
 * it is there before `commit`, which only removes what it replaced.
 */
export class WholeUpload implements Upload {
  readonly partBytes: number
  readonly parallel = 1
  /** Empty, not null: the name of the object says everything that a removal needs. */
  readonly state = {}
  readonly #object: SwiftObject
  readonly #target: UploadTarget
  readonly #underWay = new PartsUnderWay()
  #replaced = NOTHING_REPLACED
  #etag: string | undefined
  #remains = false

  constructor(object: SwiftObject, target: UploadTarget, partBytes: number) {
    this.#object = object
    this.#target = target
    this.partBytes = partBytes
  }

  putPart({ number, length }: Part, source: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, async (either) => {
      const object = this.#object
      const { condition, replaced } = await object.beforeWriting(this.#target, either)
      // A try whose answer was lost may have replaced them already.
      this.#replaced = joined(this.#replaced, replaced)
      this.#remains = true
      const headers = { ...object.headers(this.#target), ...expiryHeaders(this.#target, Date.now()), ...condition }
      this.#etag = await object.objects.put(object.path, headers, { length, source }, either)
      return { number, bytes: length }
    })
  }

  async commit(signal: AbortSignal): Promise<Committed> {
    this.#remains = false
    return this.#object.written(this.#target, this.#etag, this.#replaced, new Set(), signal)
  }

  async abort(): Promise<Removed> {
    await this.#underWay.stop()
    if (!this.#remains) return []
    const { signal } = new AbortController()
    const removed = await this.#object.removeOurs(signal)
    if (removed.length > 0) await this.#object.removeReplaced(this.#replaced, new Set(), signal)
    this.#remains = false
    return removed
  }
}
