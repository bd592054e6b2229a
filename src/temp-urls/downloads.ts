import type { ByteSource } from '../domain/bytes.ts'
import { DownloadsBusy } from '../domain/temp-url-errors.ts'
import type { Log } from '../export/ports.ts'
import type { Engine } from '../pipeline/engine.ts'
import type { BorrowedFile, OpenFiles } from './open-files.ts'
import type { NewDownload, Servable, TempUrlStore } from './ports.ts'
import { readFile } from './read-file.ts'

/** Well below the two minutes of silence after which nobody counts on a download any more. */
const TOUCH_MS = 30_000

export type DownloadUses = {
  readonly store: Pick<TempUrlStore, 'startDownload' | 'touchDownload' | 'endDownload'>
  readonly files: OpenFiles
  readonly engine: Pick<Engine, 'buffers' | 'hashers'>
  readonly log: Log
  /** At once, in this process. */
  readonly maxDownloads: number
}

/** A download that was let in. `bytes` may be read once; whoever has it says how it ended. */
export type OpenDownload = {
  readonly bytes: ByteSource
  /** @param complete whether the client has been sent all of it; may be called more than once */
  end(complete: boolean): void
}

/** Lets downloads in, as many at once as are allowed, and writes each of them down. */
export class Downloads {
  readonly #uses: DownloadUses
  #underWay = 0

  constructor(uses: DownloadUses) {
    this.#uses = uses
  }

  /**
   * @param signal fires when the client has gone
   * @returns undefined when the URL has ended meanwhile
   * @throws DownloadsBusy, SourceReadFailed
   */
  async start(tempUrl: Servable, asked: NewDownload, signal: AbortSignal): Promise<OpenDownload | undefined> {
    if (this.#underWay >= this.#uses.maxDownloads) throw new DownloadsBusy()
    this.#underWay += 1
    let file: BorrowedFile | undefined
    try {
      file = await this.#uses.files.borrow(tempUrl)
      const id = await this.#uses.store.startDownload(tempUrl, asked)
      if (id !== undefined) return this.#run(id, tempUrl, asked, file, signal)
    } catch (error) {
      await this.#leave(file)
      throw error
    }
    await this.#leave(file)
    return undefined
  }

  #run(id: string, tempUrl: Servable, asked: NewDownload, file: BorrowedFile, gone: AbortSignal): OpenDownload {
    const { store, log, engine } = this.#uses
    const { taskId } = tempUrl
    const stop = new AbortController()
    const signal = AbortSignal.any([gone, stop.signal])
    let sent = 0
    let ended = false
    const touch = async () => {
      if (!(await store.touchDownload(id, tempUrl, sent))) stop.abort(new Error('the URL was revoked'))
    }
    const timer = setInterval(() => {
      touch().catch((err) => log.warn({ err, taskId }, 'a download could not be written down'))
    }, TOUCH_MS).unref()

    const counted = async function* (): ByteSource {
      for await (const chunk of readFile(file, asked, tempUrl.sha256, engine, signal)) {
        yield chunk
        sent += chunk.length
      }
    }
    return {
      bytes: counted(),
      end: (complete) => {
        if (ended) return
        ended = true
        clearInterval(timer)
        stop.abort(new Error('the download has ended'))
        log.info({ taskId, client: asked.client, bytes: sent, complete }, 'download ended')
        this.#leave(file).catch((err) => log.warn({ err, taskId }, 'a file could not be closed'))
        store
          .endDownload(id, sent, complete)
          .catch((err) => log.warn({ err, taskId }, 'a download could not be written down'))
      }
    }
  }

  async #leave(file: BorrowedFile | undefined): Promise<void> {
    this.#underWay -= 1
    await file?.[Symbol.asyncDispose]()
  }
}
