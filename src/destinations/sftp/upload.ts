import { type ByteSource, MiB } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Part, Removed, Upload, UploadState, UploadTarget } from '../destination.ts'
import { exactly } from '../exactly.ts'
import { failure } from '../failures.ts'
import { PartsUnderWay } from '../under-way.ts'
import { SFTP_STATUS, statusOf } from './failures.ts'
import type { SftpLine } from './line.ts'
import { type Place, within } from './place.ts'
import { freeBytes, look, remove, withFile, write } from './remote-file.ts'
import type { SftpSession } from './session.ts'

/** A file that is written under a name of its own and renamed when it is whole. */
export class SftpUpload implements Upload {
  readonly partBytes = 32 * MiB
  /** On one connection: the second part fills the line while the first is being closed. */
  readonly parallel = 2
  readonly state: UploadState
  readonly #line: SftpLine
  readonly #target: UploadTarget
  readonly #place: Place
  readonly #part: string
  readonly #underWay = new PartsUnderWay()
  #end = 0
  #renaming = false
  #done = false

  /** @param part the name of the file, which is there and empty */
  constructor(line: SftpLine, target: UploadTarget, place: Place, part: string) {
    this.#line = line
    this.#target = target
    this.#place = place
    this.#part = within(place.folder, part)
    this.state = { part }
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<void> {
    return this.#underWay.run(signal, (either) =>
      this.#line.use(either, async (session) => {
        try {
          await withFile(session, this.#part, 'r+', (handle) =>
            write(session, handle, part.offset, exactly(body, part.length, either))
          )
        } catch (error) {
          throw await this.#explain(session, error)
        }
        this.#end = Math.max(this.#end, part.offset + part.length)
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
      await this.#line.use(signal, (session) => this.#publish(session))
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

  /** The protocol's rename fails when the new name is taken (and OpenSSH's does so in one step); OpenSSH's own replaces. */
  async #publish(session: SftpSession): Promise<void> {
    const { path } = this.#place
    if (this.#target.object.replace) {
      return session.request<void>((sftp, done) => sftp.ext_openssh_rename(this.#part, path, done))
    }
    // Some servers replace all the same.
    if (await look(session, path)) throw failure('objectExists', session.host)
    try {
      await session.request<void>((sftp, done) => sftp.rename(this.#part, path, done))
    } catch (error) {
      if (statusOf(error) === SFTP_STATUS.failure && (await look(session, path)))
        throw failure('objectExists', session.host, { cause: error })
      throw error
    }
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
export const removePart = (line: SftpLine, part: string, signal: AbortSignal): Promise<Removed> =>
  line.use(signal, async (session) => ((await remove(session, part)) ? ['partial file'] : []))

/** Servers without the extension decide themselves when their disk has it. */
async function fsync(session: SftpSession, handle: Buffer): Promise<void> {
  try {
    await session.request<void>((sftp, done) => sftp.ext_openssh_fsync(handle, done))
  } catch (error) {
    if (!isUnsupported(error)) throw error
  }
}

/** Said by ssh2, which knows the server's extensions, or by the server. */
function isUnsupported(error: unknown): boolean {
  const status = statusOf(error)
  const said = status === undefined || status === SFTP_STATUS.unsupported
  return said && error instanceof DestinationError && error.code === 'DEST_REJECTED'
}

const isUnanswered = (error: unknown): boolean => error instanceof DestinationError && error.code === 'DEST_UNREACHABLE'
