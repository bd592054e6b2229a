import { constants } from 'node:fs'
import type { ByteSource } from '../../domain/bytes.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { exactly } from '../exactly.ts'
import { failure } from '../failures.ts'
import { partialFiles } from '../path-names.ts'
import { type Begun, endOfAll } from '../recorded-parts.ts'
import { PartsUnderWay } from '../under-way.ts'
import { writePart } from '../write-part.ts'
import { errnoOf, FILE_STORE, fileFailure } from './failures.ts'
import type { Folder } from './folder.ts'
import type { Place } from './place.ts'

/** A file that is written under a name of its own and gets its real one when it is whole. Keeps nothing open in between. */
export class FileUpload implements Upload {
  readonly partBytes: number
  readonly parallel = 2
  readonly state: UploadState
  readonly #place: Place
  readonly #target: UploadTarget
  readonly #part: string
  readonly #underWay = new PartsUnderWay()
  #end: number
  /** Of the file, from when it may have its real name. */
  #inode: number | undefined
  #done = false

  /**
   * @param part the name of the file, which is there
   * @param inode of the file, where an earlier worker may have given it its real name already
   */
  constructor(place: Place, target: UploadTarget, part: string, begun: Begun, inode?: number) {
    this.#place = place
    this.#target = target
    this.#part = part
    this.partBytes = begun.partBytes
    this.state = { part, partBytes: String(begun.partBytes) }
    this.#end = endOfAll(begun)
    this.#inode = inode
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, (either) =>
      this.#inFolder(either, async (folder) => {
        await using file = await folder.file(this.#part, constants.O_WRONLY).catch(gone)
        const end = await writePart(file, exactly(body, part.length, either), part.offset)
        this.#end = Math.max(this.#end, end)
        return { number: part.number, bytes: part.length }
      })
    )
  }

  commit(signal: AbortSignal): Promise<Committed> {
    return this.#inFolder(signal, async (folder) => {
      if (await this.#isPublished(folder)) {
        await folder.remove(this.#part)
        await folder.sync()
      } else await this.#publish(folder, signal)
      this.#done = true
      return { location: this.#target.url.href }
    })
  }

  async #publish(folder: Folder, signal: AbortSignal): Promise<void> {
    await using file = await folder.file(this.#part, constants.O_RDONLY).catch(gone)
    const { size, ino } = await file.stat()
    if (size !== (this.#target.exact ? this.#target.length : this.#end)) throw failure('lengthDiffers', FILE_STORE)
    await file.sync()
    signal.throwIfAborted()
    this.#inode = ino
    await folder.publish(this.#part, this.#place.name, this.#target.object.replace)
  }

  /** An earlier commit may have failed after it gave the file its name. */
  async #isPublished(folder: Folder): Promise<boolean> {
    if (this.#inode === undefined) return false
    return (await folder.look(this.#place.name))?.ino === this.#inode
  }

  async abort(): Promise<Removed> {
    await this.#underWay.stop()
    return this.#done ? [] : removePart(this.#place, this.#part)
  }

  #inFolder<T>(signal: AbortSignal, work: (folder: Folder) => Promise<T>): Promise<T> {
    return orFileFailure(async () => {
      signal.throwIfAborted()
      await using folder = await this.#place.open('fail').catch(gone)
      return await work(folder)
    })
  }
}

/** Whoever holds the task's lease now has removed the file, or somebody has tidied up. */
const gone = (error: unknown): never => {
  throw errnoOf(error) === 'ENOENT' ? failure('uploadGone', FILE_STORE, { cause: error }) : error
}

/** Removes the file of an upload that is not complete; one that is gone is no error. */
function removePart(place: Place, part: string): Promise<Removed> {
  return orFileFailure(async () => {
    await using folder = await place.open('stay')
    return partialFiles((await folder.remove(part)) ? 1 : 0)
  })
}

export async function orFileFailure<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw fileFailure(error)
  }
}
