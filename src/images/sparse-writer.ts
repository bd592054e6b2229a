import type { FileHandle } from 'node:fs/promises'
import type { Range } from '../disks/disk.ts'
import { KiB } from '../domain/bytes.ts'

const blockBytes = 64 * KiB
const bufferBytes = 16 * blockBytes
const zeroBlock = Buffer.alloc(blockBytes)

/**
 * How many runs of data are told apart. A hostile image may alternate data and zeros; past this limit its later
 * zeros count as data, so that the list stays below 10 MB.
 */
const rangeLimit = 2 ** 18

/**
 * Writes a stream to an empty file and leaves holes where a block of 64 KiB, counted from the start of the file, is all zeros.
 * Holds 1 MiB, whatever the size of the chunks; a chunk may be reused by its owner when `write` has answered.
 */
export class SparseWriter {
  readonly #file: FileHandle
  readonly #maxRanges: number
  readonly #buffer = Buffer.alloc(bufferBytes)
  readonly #ranges: { offset: number; length: number }[] = []
  #filled = 0
  /** Where the buffer's first byte belongs in the file; a multiple of the block. */
  #position = 0

  constructor(file: FileHandle, maxRanges = rangeLimit) {
    this.#file = file
    this.#maxRanges = maxRanges
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length; ) {
      const piece = chunk.subarray(taken, taken + bufferBytes - this.#filled)
      this.#buffer.set(piece, this.#filled)
      this.#filled += piece.length
      taken += piece.length
      if (this.#filled === bufferBytes) await this.#flush()
    }
  }

  /** Writes what is left and gives the file its length. Returns its runs of data: ordered, apart, ending within the file. */
  async finish(): Promise<readonly Range[]> {
    await this.#flush()
    await this.#file.truncate(this.#position)
    return this.#ranges
  }

  async #flush(): Promise<void> {
    const filled = this.#buffer.subarray(0, this.#filled)
    let runStart = 0
    for (let at = 0; at < filled.length; at += blockBytes) {
      const block = filled.subarray(at, at + blockBytes)
      if (!block.equals(zeroBlock.subarray(0, block.length))) continue
      await this.#writeRun(filled.subarray(runStart, at), this.#position + runStart)
      runStart = at + block.length
    }
    await this.#writeRun(filled.subarray(runStart), this.#position + runStart)
    this.#position += filled.length
    this.#filled = 0
  }

  async #writeRun(bytes: Buffer, offset: number): Promise<void> {
    if (bytes.length === 0) return
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, written, bytes.length - written, offset + written)
      written += bytesWritten
    }
    const last = this.#ranges.at(-1)
    const joins = last && (last.offset + last.length === offset || this.#ranges.length === this.#maxRanges)
    if (joins) last.length = offset + bytes.length - last.offset
    else this.#ranges.push({ offset, length: bytes.length })
  }
}
