import type { Checksum } from '../domain/export-options.ts'
import type { Hashers, StreamHash } from '../hashing/hashers.ts'

/** Digests of a file, each made on a hashing thread. */
export class FileDigests implements Disposable {
  readonly #streams: ReadonlyMap<Checksum, StreamHash>

  constructor(hashers: Hashers, names: ReadonlySet<Checksum>) {
    this.#streams = new Map([...names].map((name) => [name, hashers.start(name)]))
  }

  /** Bytes of the file, from front to back. They must not change before `done`. */
  update(bytes: Uint8Array, done: () => void): void {
    const taken = atLast(this.#streams.size, done)
    for (const stream of this.#streams.values()) stream.update(bytes, taken)
  }

  /** Lower-case hex, by name. */
  async digest(): Promise<Partial<Record<Checksum, string>>> {
    const digests = await Promise.all([...this.#streams].map(async ([name, stream]) => [name, await stream.digest()]))
    return Object.fromEntries(digests)
  }

  [Symbol.dispose](): void {
    for (const stream of this.#streams.values()) stream[Symbol.dispose]()
  }
}

/** Calls `then` when it was called so often. */
export function atLast(times: number, then: () => void): () => void {
  let left = times
  return () => {
    left--
    if (left === 0) then()
  }
}
