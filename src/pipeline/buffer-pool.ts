/**
 * A fixed number of equal buffers: the only memory that grows with the speed of a reader, so it bounds an export's memory
 * whatever the image's size. Buffers are made when first needed and used again; their memory is shared, so that another
 * thread can hash what this one sends.
 */
export class BufferPool {
  readonly bufferBytes: number
  /** One buffer of zeros for everybody; nobody may write to it. In shared memory as all others. */
  readonly zeros: Uint8Array
  #unmade: number
  readonly #free: Buffer[] = []
  readonly #waiting: ((buffer: Buffer) => void)[] = []

  constructor(bufferBytes: number, count: number) {
    this.bufferBytes = bufferBytes
    this.zeros = new Uint8Array(new SharedArrayBuffer(bufferBytes))
    this.#unmade = count
  }

  /** A buffer, as soon as one is free; first come, first served. Rejects with the signal's reason. */
  async acquire(signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted()
    const free = this.#free.pop()
    if (free) return free
    if (this.#unmade > 0) {
      this.#unmade--
      return Buffer.from(new SharedArrayBuffer(this.bufferBytes))
    }
    return new Promise((resolve, reject) => {
      const given = (buffer: Buffer) => {
        signal.removeEventListener('abort', aborted)
        resolve(buffer)
      }
      const aborted = () => {
        this.#waiting.splice(this.#waiting.indexOf(given), 1)
        reject(signal.reason)
      }
      this.#waiting.push(given)
      signal.addEventListener('abort', aborted, { once: true })
    })
  }

  release(buffer: Buffer): void {
    const next = this.#waiting.shift()
    if (next) next(buffer)
    else this.#free.push(buffer)
  }
}
