import { type Cipheriv, createCipheriv, createHash } from 'node:crypto'

/** Chance that can be had again: the same seed gives the same numbers and bytes. The key stream of AES in counter mode. */
export class Random {
  readonly #seed: string
  readonly #stream: Cipheriv

  constructor(seed: string) {
    this.#seed = seed
    const key = createHash('sha256').update(seed).digest()
    this.#stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  }

  /** Chance of its own: how much of it is used changes nothing for others. */
  fork(name: string): Random {
    return new Random(`${this.#seed}/${name}`)
  }

  /** Noise that does not compress. */
  bytes(length: number): Buffer {
    return this.#stream.update(Buffer.alloc(length))
  }

  /** A whole number from `low` up to and with `high`. */
  integer(low: number, high: number): number {
    return low + Math.floor((this.bytes(4).readUInt32LE() / 2 ** 32) * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.integer(0, 999_999) < probability * 1_000_000
  }

  pick<T>(list: readonly T[]): T {
    const one = list[this.integer(0, list.length - 1)]
    if (one === undefined) throw new RangeError('nothing to pick from')
    return one
  }
}
