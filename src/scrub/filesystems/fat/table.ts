import { MiB } from '../../../domain/bytes.ts'
import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import type { BootSector } from './boot-sector.ts'

/** The table is kept in memory: 16 million clusters of FAT32, 512 GiB in those of 32 KiB. */
const MAX_TABLE_BYTES = 64 * MiB
const SLICE_BYTES = MiB

/** What follows a cluster in its file. */
export type Next = number | 'end' | 'free' | 'bad'

/** The file allocation table. */
export class Table {
  readonly #bits: 12 | 16 | 32
  readonly #bytes: Buffer

  private constructor(bits: 12 | 16 | 32, bytes: Buffer) {
    this.#bits = bits
    this.#bytes = bytes
  }

  /** Throws Refused when it is too large, when its copies differ, or when the file system is not at rest. */
  static async read(volume: Volume, boot: BootSector): Promise<Table> {
    const needed = Math.ceil(((boot.clusters + 2) * boot.bits) / 8)
    if (needed > MAX_TABLE_BYTES) throw new Refused('too-large', 'its table is larger than is kept in memory here')
    const first = boot.tableStart + (boot.onlyTable ?? 0) * boot.tableBytes
    const bytes = await volume.read(first, needed)
    if (boot.onlyTable === undefined && boot.tables === 2) {
      for (let at = 0; at < needed; at += SLICE_BYTES) {
        const part = bytes.subarray(at, at + SLICE_BYTES)
        if (!part.equals(await volume.read(first + boot.tableBytes + at, part.length))) {
          throw new Refused('copies-differ', 'its two tables differ')
        }
      }
    }
    const table = new Table(boot.bits, bytes)
    if (boot.dirty || !table.#isClean()) throw new Refused('mounted', 'it was not unmounted')
    return table
  }

  /** @param cluster one that exists */
  next(cluster: number): Next {
    const value = this.#entry(cluster)
    const last = 2 ** (this.#bits === 32 ? 28 : this.#bits) - 1
    if (value === 0) return 'free'
    if (value === last - 8) return 'bad'
    return value >= last - 7 ? 'end' : value
  }

  #entry(cluster: number): number {
    if (this.#bits === 32) return (this.#bytes.readUInt32LE(cluster * 4) & 0x0fffffff) >>> 0
    if (this.#bits === 16) return this.#bytes.readUInt16LE(cluster * 2)
    const at = cluster + (cluster >> 1)
    const pair = (this.#bytes[at] ?? 0) | ((this.#bytes[at + 1] ?? 0) << 8)
    return cluster % 2 === 0 ? pair & 0xfff : pair >> 4
  }

  /** The two upper bits of the second entry: not mounted, and no errors. FAT12 has none. */
  #isClean(): boolean {
    if (this.#bits === 12) return true
    const clean = this.#bits === 32 ? 0x0c000000 : 0xc000
    return (this.#entry(1) & clean) === clean
  }
}
