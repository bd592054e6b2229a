import type { Buffers } from './buffers.ts'

/**
 * A fixed number of equal buffers: the only memory that grows with the speed of a reader, so it bounds an export's memory
 * whatever the image's size. Buffers are taken when first needed, used again, and given back when the pool is disposed of.
 */
export class BufferPool implements Disposable {
  readonly bufferBytes: number
  readonly #buffers: Buffers
  #untaken: number
  readonly #free: Buffer[] = []
  #zeros: Buffer | undefined
  readonly #waiting: ((buffer: Buffer) => void)[] = []
  #disposed = false

  constructor(buffers: Buffers, bufferBytes: number, count: number) {
    this.#buffers = buffers
    this.bufferBytes = bufferBytes
    this.#untaken = count
  }

  /** One buffer of zeros for everybody; nobody may write to it. */
  get zeros(): Buffer {
    this.#zeros ??= this.#buffers.take(this.bufferBytes).fill(0)
    return this.#zeros
  }

  /** A buffer, as soon as one is free; first come, first served. Rejects with the signal's reason. */
  async acquire(signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted()
    const free = this.#free.pop()
    if (free) return free
    if (this.#untaken > 0) {
      this.#untaken--
      return this.#buffers.take(this.bufferBytes)
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
    else if (this.#disposed) this.#buffers.giveBack(buffer)
    else this.#free.push(buffer)
  }

  /** What is still held is handed on when it is released. */
  [Symbol.dispose](): void {
    this.#disposed = true
    for (const buffer of this.#free.splice(0)) this.#buffers.giveBack(buffer)
    if (this.#zeros) this.#buffers.giveBack(this.#zeros)
  }
}
