import type { Upload } from '../destinations/destination.ts'
import type { Progress } from '../domain/task.ts'
import type { Shipment } from '../pipeline/shipment.ts'
import { Bandwidth } from './bandwidth.ts'

/** Adds up how far one attempt is. Its percentage is of the work: a file that is measured first is half done by then. */
export class ProgressMeter {
  readonly #onChange: (progress: Progress) => void
  readonly #bandwidth: Bandwidth | undefined
  #progress: Progress = { total: null, sent: 0, percent: 0 }
  #measured = 0

  /** @param bytesPerSecond the most that may be sent; undefined for as much as can be */
  constructor(onChange: (progress: Progress) => void, bytesPerSecond?: number) {
    this.#onChange = onChange
    this.#bandwidth = bytesPerSecond === undefined ? undefined : new Bandwidth(bytesPerSecond)
  }

  /** Of the first of two passes. */
  readonly measuring = (share: number): void => this.#set({ percent: 50 * share })

  /** From now on the file is sent. */
  sending({ length, exact, measured }: Shipment): Progress {
    this.#measured = measured ? 50 : 0
    this.#set({ total: exact ? length : null, percent: this.#measured })
    return this.#progress
  }

  readonly share = (share: number): void => this.#set({ percent: this.#measured + (100 - this.#measured) * share })

  /** The upload, with its bytes counted as the destination takes them, and no faster than is allowed. */
  counted(upload: Upload): Upload {
    const count = (bytes: number) => this.#set({ sent: this.#progress.sent + bytes })
    const bandwidth = this.#bandwidth
    return {
      partBytes: upload.partBytes,
      parallel: upload.parallel,
      state: upload.state,
      async putPart(part, body, signal) {
        async function* counting() {
          for await (const chunk of body) {
            await bandwidth?.take(chunk.length, signal)
            yield chunk
            count(chunk.length) // the upload asked again, so this chunk is on its way
          }
        }
        await upload.putPart(part, counting(), signal)
      },
      commit: (signal) => upload.commit(signal),
      abort: () => upload.abort()
    }
  }

  #set(change: Partial<Progress>): void {
    this.#progress = { ...this.#progress, ...change }
    this.#onChange(this.#progress)
  }
}
