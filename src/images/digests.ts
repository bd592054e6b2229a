import { MiB } from '../domain/bytes.ts'
import type { Algorithm, Hashers, StreamHash } from '../hashing/hashers.ts'

const BUFFER_BYTES = MiB
const BUFFERS = 4

/** Several digests of one stream, each on a thread of its own, in bounded memory. Disposing gives up what is not finished. */
export class Digests<Name extends Algorithm> implements Disposable {
  readonly #hashes: ReadonlyMap<Name, StreamHash>
  readonly #free: Buffer[] = []
  #made = 0
  #filling: Buffer | undefined
  #filled = 0
  #wake: (() => void) | undefined

  constructor(hashers: Hashers, algorithms: readonly Name[]) {
    this.#hashes = new Map(algorithms.map((name) => [name, hashers.start(name)]))
  }

  /** The bytes are copied: they are the caller's again when this returns. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const buffer = this.#filling ?? (await this.#freeBuffer())
      this.#filling = buffer
      const piece = bytes.subarray(from, from + buffer.length - this.#filled)
      buffer.set(piece, this.#filled)
      this.#filled += piece.length
      from += piece.length
      if (this.#filled === buffer.length) this.#handOn(buffer)
    }
  }

  /** Lower-case hex of everything that was written. */
  async finish(): Promise<Record<Name, string>> {
    if (this.#filling) this.#handOn(this.#filling)
    const digests = await Promise.all(
      [...this.#hashes].map(async ([name, hash]) => [name, await hash.digest()] as const)
    )
    return Object.fromEntries(digests) as Record<Name, string>
  }

  [Symbol.dispose](): void {
    for (const hash of this.#hashes.values()) hash[Symbol.dispose]()
  }

  #handOn(buffer: Buffer): void {
    const bytes = buffer.subarray(0, this.#filled)
    let readers = this.#hashes.size
    this.#filling = undefined
    this.#filled = 0
    for (const hash of this.#hashes.values()) {
      hash.update(bytes, () => {
        if (--readers > 0) return
        this.#free.push(buffer)
        this.#wake?.()
      })
    }
  }

  async #freeBuffer(): Promise<Buffer> {
    const free = this.#free.pop()
    if (free) return free
    if (this.#made++ < BUFFERS) return Buffer.from(new SharedArrayBuffer(BUFFER_BYTES))
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    return this.#freeBuffer()
  }
}
