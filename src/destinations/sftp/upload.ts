import { type ByteSource, MiB } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { exactly } from '../exactly.ts'
import { failure } from '../failures.ts'
import { partialFiles } from '../path-names.ts'
import { type Begun, endOfAll } from '../recorded-parts.ts'
import { PartsUnderWay } from '../under-way.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import type { SftpLine } from './line.ts'
import { type Place, within } from './place.ts'
import { freeBytes, fsync, look, remove, withFile, write } from './remote-file.ts'
import { rename } from './rename.ts'
import type { SftpSession } from './session.ts'

/**
 * What an upload is made of: the name of its file, which is there, and whether every part is on the server's disk before it is
 * confirmed. Without that a part may be gone although the file has its length, so the upload cannot be gone on with.
 */
export type SftpBegun = Begun & { readonly part: string; readonly synced: boolean }

/** A file that is written under a name of its own and renamed when it is whole. */
export class SftpUpload implements Upload {
  readonly partBytes: number
  /** On one connection: the second part fills the line while the first is being closed. */
  readonly parallel = 2
  readonly state: UploadState
  readonly #line: SftpLine
  readonly #target: UploadTarget
  readonly #place: Place
  readonly #part: string
  readonly #synced: boolean
  readonly #underWay = new PartsUnderWay()
  #end: number
  #renaming = false
  #done = false

  constructor(line: SftpLine, target: UploadTarget, place: Place, begun: SftpBegun) {
    const { part, partBytes, synced } = begun
    this.#line = line
    this.#target = target
    this.#place = place
    this.#part = within(place.folder, part)
    this.partBytes = partBytes
    this.#synced = synced
    this.state = { part, ...(synced && { partBytes: String(partBytes) }) }
    this.#end = endOfAll(begun)
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, (either) =>
      this.#line.use(either, async (session) => {
        try {
          await withFile(session, this.#part, 'r+', async (handle) => {
            await write(session, handle, part.offset, exactly(body, part.length, either))
            if (this.#synced) await fsync(session, handle)
          })
        } catch (error) {
          throw await this.#explain(session, error)
        }
        this.#end = Math.max(this.#end, part.offset + part.length)
        return { number: part.number, bytes: part.length }
      })
    )
  }

  async commit(signal: AbortSignal): Promise<Committed> {
    // The answer to an earlier call may have been lost.
    if (!this.#renaming || !(await this.#isPublished(undefined, signal))) await this.#rename(signal)
    this.#done = true
    this.#line.end()
    return { location: this.#target.url.href }
  }

  async #rename(signal: AbortSignal): Promise<void> {
    await this.#line.use(signal, async (session) => {
      const found = await look(session, this.#part)
      if (found === undefined) throw failure('uploadGone', session.host)
      if (found.size !== this.#wholeBytes) throw failure('lengthDiffers', session.host)
      await withFile(session, this.#part, 'r+', (handle) => fsync(session, handle))
    })
    this.#renaming = true
    try {
      const { replace } = this.#target.object
      await this.#line.use(signal, (session) => rename(session, this.#part, this.#place.path, replace))
    } catch (error) {
      signal.throwIfAborted()
      if (!isUnanswered(error)) throw error
      if (!(await this.#isPublished(error, signal))) throw error
    }
  }

  async abort(): Promise<Removed> {
    await this.#underWay.stop()
    if (this.#done) return []
    try {
      return await removePart(this.#line, this.#part, new AbortController().signal)
    } finally {
      this.#line.end()
    }
  }

  get #wholeBytes(): number {
    return this.#target.exact ? this.#target.length : this.#end
  }

  /** After a rename that was not answered: it took place if our file is gone and a whole one has the object's name. */
  async #isPublished(cause: unknown, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#line.use(signal, async (session) => {
        if (await look(session, this.#part)) return false
        return (await look(session, this.#place.path))?.size === this.#wholeBytes
      })
    } catch {
      signal.throwIfAborted()
      throw failure('outcomeUnknown', this.#target.url.host, { cause })
    }
  }

  /** SFTP has one word for most failures, a full disk among them. */
  async #explain(session: SftpSession, error: unknown): Promise<unknown> {
    const status = statusOf(error)
    if (status === SFTP_STATUS.noSuchFile) return failure('uploadGone', session.host, { cause: error })
    if (status !== SFTP_STATUS.failure || session.ended) return error
    const free = await freeBytes(session, this.#place.folder).catch(() => undefined)
    return free !== undefined && free < FULL_BYTES ? failure('quotaExceeded', session.host, { cause: error }) : error
  }
}

/** A disk with less room than this counts as full: what a file system keeps for itself is not ours. */
const FULL_BYTES = 1 * MiB

/** Removes the file of an upload that is not complete; one that is gone is no error. */
const removePart = (line: SftpLine, part: string, signal: AbortSignal): Promise<Removed> =>
  line.use(signal, async (session) => partialFiles((await remove(session, part)) ? 1 : 0))

const isUnanswered = (error: unknown): boolean => error instanceof DestinationError && error.code === 'DEST_UNREACHABLE'
