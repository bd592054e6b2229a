import type { RandomAccess, Range } from '../../../src/disks/disk.ts'

/** A file that counts the reads and refuses those past its end. */
export class RecordedFile implements RandomAccess {
  readonly size: number
  readonly dataRanges?: readonly Range[]
  readonly #below: RandomAccess
  reads = 0
  closed = false

  constructor(below: RandomAccess) {
    this.#below = below
    this.size = below.size
    if (below.dataRanges) this.dataRanges = below.dataRanges
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    this.reads += 1
    await this.#below.read(target, offset)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true
    await this.#below[Symbol.asyncDispose]()
  }
}

/** A file whose bytes are in memory. */
export function memoryFile(bytes: Buffer, dataRanges?: readonly Range[]): RecordedFile {
  return new RecordedFile({
    size: bytes.length,
    ...(dataRanges && { dataRanges }),
    async read(target, offset) {
      if (!(offset >= 0) || offset + target.length > bytes.length) {
        throw new RangeError(`read of ${target.length} bytes at ${offset} of ${bytes.length}`)
      }
      target.set(bytes.subarray(offset, offset + target.length))
    },
    async [Symbol.asyncDispose]() {}
  })
}
