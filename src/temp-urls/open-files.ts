import type { TaskId } from '../domain/ids.ts'
import { type OpenFile, type OpenUses, openFile } from './open-file.ts'
import type { Servable } from './ports.ts'

/** Longer than a client needs between two ranges of a file; the image's map need not be read for each of them. */
const KEPT_MS = 15_000

type Entry = { readonly opening: Promise<OpenFile>; users: number; timer: NodeJS.Timeout | undefined }

/** A file in use: disposing gives it back. */
export type BorrowedFile = OpenFile & AsyncDisposable

/** Files that are open for downloads, each once, however many ranges of it are read. */
export class OpenFiles {
  readonly #uses: OpenUses
  readonly #entries = new Map<TaskId, Entry>()
  readonly #closing = new AbortController()

  constructor(uses: OpenUses) {
    this.#uses = uses
  }

  /** @throws what openFile throws */
  async borrow(tempUrl: Servable): Promise<BorrowedFile> {
    const { taskId } = tempUrl
    let entry = this.#entries.get(taskId)
    if (!entry) {
      entry = { opening: openFile(this.#uses, tempUrl, this.#closing.signal), users: 0, timer: undefined }
      this.#entries.set(taskId, entry)
    }
    const borrowed = entry
    borrowed.users += 1
    clearTimeout(borrowed.timer)
    try {
      const { layout, disk } = await borrowed.opening
      return { layout, disk, [Symbol.asyncDispose]: async () => this.#giveBack(taskId, borrowed) }
    } catch (error) {
      if (this.#entries.get(taskId) === borrowed) this.#entries.delete(taskId)
      throw error
    }
  }

  /** Closes what nobody uses; what is in use is closed when it is given back. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the service is stopping'))
    const idle = [...this.#entries].filter(([, { users }]) => users === 0)
    await Promise.all(idle.map(([taskId, entry]) => this.#end(taskId, entry)))
  }

  #giveBack(taskId: TaskId, entry: Entry): Promise<void> | undefined {
    entry.users -= 1
    if (entry.users > 0) return
    if (this.#closing.signal.aborted) return this.#end(taskId, entry)
    entry.timer = setTimeout(() => void this.#end(taskId, entry).catch(() => {}), KEPT_MS).unref()
    return
  }

  async #end(taskId: TaskId, entry: Entry): Promise<void> {
    clearTimeout(entry.timer)
    if (this.#entries.get(taskId) === entry) this.#entries.delete(taskId)
    const { disk } = await entry.opening
    await disk[Symbol.asyncDispose]()
  }
}
