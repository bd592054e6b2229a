import { MiB } from '../domain/bytes.ts'

const KEPT_BYTES = 64 * MiB
/** With what a worker holds besides, this stays below 256 MiB. */
const SPARE_BYTES = 64 * MiB

/**
 * Buffers that exports of a process hand on to each other. Left to the garbage collector, those of the last export would
 * still be there while the next one makes its own. In shared memory, so that another thread can hash what this one sends.
 */
export class Buffers {
  readonly #kept: Buffer[] = []
  #keptBytes = 0
  #lentSpareBytes = 0

  /** Of exactly this length; what is in it is left from before. */
  take(bytes: number): Buffer {
    const index = this.#kept.findIndex(({ length }) => length === bytes)
    const [kept] = index < 0 ? [] : this.#kept.splice(index, 1)
    if (!kept) return Buffer.from(new SharedArrayBuffer(bytes))
    this.#keptBytes -= bytes
    return kept
  }

  giveBack(buffer: Buffer): void {
    if (this.#keptBytes + buffer.length > KEPT_BYTES) return
    this.#kept.push(buffer)
    this.#keptBytes += buffer.length
  }

  /** A buffer for what only saves work: none while the exports of this process hold 64 MiB of such. */
  takeSpare(bytes: number): Buffer | undefined {
    if (this.#lentSpareBytes + bytes > SPARE_BYTES) return undefined
    this.#lentSpareBytes += bytes
    return this.take(bytes)
  }

  giveBackSpare(buffer: Buffer): void {
    this.#lentSpareBytes -= buffer.length
    this.giveBack(buffer)
  }
}
