import { ImageUnsafe } from '../../domain/errors.ts'
import type { RandomAccess } from '../disk.ts'
import type { Header } from './header.ts'

/** Which reference counts exist. Their values are not read: whoever only reads does not need them. */
export class Refcounts {
  /** Offsets of the refcount blocks, each one cluster long. */
  readonly blocks: Float64Array
  /** 1 for each entry of the table that has a block. */
  readonly #present: Uint8Array
  readonly #clustersPerBlock: number
  readonly #trusted: boolean

  private constructor(blocks: Float64Array, present: Uint8Array, clustersPerBlock: number, trusted: boolean) {
    this.blocks = blocks
    this.#present = present
    this.#clustersPerBlock = clustersPerBlock
    this.#trusted = trusted
  }

  static async read(file: RandomAccess, header: Header): Promise<Refcounts> {
    const { refcountTable, clusterBytes } = header
    const table = Buffer.alloc(refcountTable.bytes)
    await file.read(table, refcountTable.offset)
    const present = new Uint8Array(table.length / 8)
    const blocks: number[] = []
    for (let i = 0; i < present.length; i += 1) {
      const high = table.readUInt32BE(i * 8)
      const low = table.readUInt32BE(i * 8 + 4)
      if (high === 0 && low === 0) continue
      const offset = high * 2 ** 32 + low
      // Beyond 2^53 the sum is rounded, but it is far outside any file then.
      if (low % clusterBytes !== 0 || offset + clusterBytes > file.size) {
        throw new ImageUnsafe('refcount_block', 'a block of reference counts lies across or outside its clusters')
      }
      present[i] = 1
      blocks.push(offset)
    }
    return new Refcounts(Float64Array.from(blocks), present, (clusterBytes * 8) / header.refcountBits, !header.dirty)
  }

  /** Throws ImageUnsafe when no reference count exists for one of the clusters [first, first + count), all in use. */
  check(first: number, count: number): void {
    if (!this.#trusted) return
    const last = Math.floor((first + count - 1) / this.#clustersPerBlock)
    for (let block = Math.floor(first / this.#clustersPerBlock); block <= last; block += 1) {
      if (this.#present[block] !== 1) {
        throw new ImageUnsafe('refcount_missing', 'clusters are in use that its reference counts do not know')
      }
    }
  }
}
