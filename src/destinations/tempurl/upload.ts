import type { FileHandle } from 'node:fs/promises'
import type { ByteSource } from '../../domain/bytes.ts'
import { StagingFull } from '../../domain/temp-url-errors.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { exactly } from '../exactly.ts'
import { failure } from '../failures.ts'
import { type Begun, endOfAll } from '../recorded-parts.ts'
import { PartsUnderWay } from '../under-way.ts'
import { writePart } from '../write-part.ts'
import { isVirtual } from './place.ts'
import type { Staging } from './staging.ts'

/** What messages call the place, as it has no host. */
export const HERE = 'The store of temporary URLs'

/** One file for download. Of a virtual one nothing is kept: the bytes are only counted, and hashed on their way here. */
export class TempUrlUpload implements Upload {
  readonly partBytes: number
  readonly parallel = 2
  readonly state: UploadState
  readonly #staging: Staging
  readonly #target: UploadTarget
  readonly #part: string
  readonly #underWay = new PartsUnderWay()
  #end: number
  #publishing = false
  #done = false

  /** @param part the name of the file, which is there */
  constructor(staging: Staging, target: UploadTarget, part: string, begun: Begun) {
    this.#staging = staging
    this.#target = target
    this.#part = part
    this.partBytes = begun.partBytes
    this.state = { part, partBytes: String(begun.partBytes) }
    this.#end = endOfAll(begun)
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, async (either) => {
      const chunks = exactly(body, part.length, either)
      if (isVirtual(this.#target.url)) for await (const _dropped of chunks);
      else await this.#write(part, chunks)
      this.#end = Math.max(this.#end, part.offset + part.length)
      return { number: part.number, bytes: part.length }
    })
  }

  async commit(signal: AbortSignal): Promise<Committed> {
    const { url, marks, exact, length } = this.#target
    signal.throwIfAborted()
    if (exact && this.#end !== length) throw failure('lengthDiffers', HERE)
    // An earlier commit may have failed after it gave the file its name.
    const published = this.#publishing && (await this.#staging.length(marks.taskId)) === this.#end
    this.#publishing = true
    if (published) await this.#staging.sync(marks.taskId)
    else if (isVirtual(url)) await this.#staging.publishVirtual(marks.taskId, this.#part, this.#end).catch(gone)
    else await this.#inFile((file) => file.sync()).then(() => this.#staging.publish(marks.taskId, this.#part))
    this.#done = true
    return { location: url.href }
  }

  async abort(): Promise<Removed> {
    await this.#underWay.stop()
    if (this.#done) return []
    const { taskId } = this.#target.marks
    // From when it may have its name, all goes; before, only what is this upload's own: a later attempt may have begun.
    const removed = this.#publishing
      ? await this.#staging.remove(taskId)
      : await this.#staging.removePart(taskId, this.#part)
    return removed ? ['partial file'] : []
  }

  async #write(part: Part, chunks: ByteSource): Promise<void> {
    await this.#staging.assertRoom(part.length)
    await this.#inFile(async (file) => {
      await writePart(file, chunks, part.offset)
    })
  }

  async #inFile(work: (file: FileHandle) => Promise<void>): Promise<void> {
    try {
      await using file = await this.#staging.edit(this.#target.marks.taskId, this.#part).catch(gone)
      await work(file)
    } catch (error) {
      throw codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT' ? new StagingFull({ cause: error }) : error
    }
  }
}

/** Whoever holds the task's lease now has removed the file. */
const gone = (error: unknown): never => {
  throw codeOf(error) === 'ENOENT' ? failure('uploadGone', HERE, { cause: error }) : error
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined)
