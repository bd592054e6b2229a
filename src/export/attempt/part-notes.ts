import type { SentPart, Upload } from '../../destinations/destination.ts'
import type { BegunPart } from '../ports.ts'

/**
 * Writes down which parts were begun and which the destination has confirmed, soon after it happened and without keeping the
 * next part waiting: one write is under way at a time, and the next takes all that has come meanwhile.
 */
export class PartNotes {
  readonly #write: (parts: readonly BegunPart[]) => Promise<void>
  readonly #onFailure: (error: unknown) => void
  readonly #unwritten = new Map<number, BegunPart>()
  #writing: Promise<void> | undefined

  /** @param onFailure told of a write that failed; what it had is written with the next */
  constructor(write: (parts: readonly BegunPart[]) => Promise<void>, onFailure: (error: unknown) => void) {
    this.#write = write
    this.#onFailure = onFailure
  }

  /** The upload, with its parts written down. */
  of(upload: Upload): Upload {
    return {
      partBytes: upload.partBytes,
      parallel: upload.parallel,
      state: upload.state,
      putPart: async (part, body, signal) => {
        this.#note(part.number, null)
        const sent = await upload.putPart(part, body, signal)
        this.#note(part.number, sent)
        return sent
      },
      commit: (signal) => upload.commit(signal),
      abort: () => upload.abort()
    }
  }

  /** Returns when all is written, or could not be: then those parts are sent again. */
  async flush(): Promise<void> {
    await this.#writing
    if (this.#unwritten.size > 0) this.#writing = this.#writeAll()
    await this.#writing
  }

  #note(number: number, sent: SentPart | null): void {
    this.#unwritten.set(number, { number, sent })
    this.#writing ??= this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#unwritten.size > 0) await this.#writeSome()
    } catch (error) {
      this.#onFailure(error)
    } finally {
      this.#writing = undefined
    }
  }

  async #writeSome(): Promise<void> {
    const parts = [...this.#unwritten.values()]
    this.#unwritten.clear()
    try {
      await this.#write(parts)
    } catch (error) {
      for (const part of parts) if (!this.#unwritten.has(part.number)) this.#unwritten.set(part.number, part)
      throw error
    }
  }
}
