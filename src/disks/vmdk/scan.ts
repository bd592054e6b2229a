import { ImageUnsafe } from '../../domain/errors.ts'
import { Allocated } from '../blocks/allocated.ts'
import { readBytes } from '../blocks/block-disk.ts'
import { eachTable } from '../blocks/each-table.ts'
import { Holes } from '../blocks/holes.ts'
import { Metadata } from '../blocks/metadata.ts'
import { Runs } from '../blocks/runs.ts'
import type { Table } from '../blocks/table.ts'
import type { RandomAccess } from '../disk.ts'
import { grainAt } from './grain.ts'
import { GRAINS_PER_TABLE, type Header, SECTOR } from './header.ts'

/** What reading needs to know of a file whose every table was checked. */
export type Scanned = {
  /** Offsets of the grain tables, in the disk's order; 0 where there is none. */
  readonly tables: Float64Array
  readonly allocated: Allocated
}

export const TABLE_BYTES = GRAINS_PER_TABLE * 4
const TABLE_SECTORS = TABLE_BYTES / SECTOR

/**
 * Checks the grain tables once, all of them, without keeping them: they must be where tables may be, and map the disk to
 * grains of the file that hold nothing else. Throws ImageUnsafe.
 */
export async function scanTables(file: RandomAccess, header: Header): Promise<Scanned> {
  const { directory, spareDirectory, descriptor, footer, grainBytes, virtualSize } = header
  const tables = await readDirectory(file, directory)
  const areas = [descriptor, directory]
  const sectors = [sectorsOf(tables)]
  if (spareDirectory) {
    areas.push(spareDirectory)
    sectors.push(sectorsOf(await readDirectory(file, spareDirectory)))
  }
  if (footer) areas.push(footer)
  const metadata = Metadata.of(SECTOR, areas, ...sectors)

  const allocated = new Allocated(tables, GRAINS_PER_TABLE)
  const tally = new GrainTally(header, metadata)
  const holes = new Holes(file)
  for await (const { index, table } of eachTable(file, tables, TABLE_BYTES)) {
    const first = index * GRAINS_PER_TABLE
    const count = Math.min(GRAINS_PER_TABLE, Math.ceil(virtualSize / grainBytes) - first)
    for (let i = 0; i < count; i += 1) {
      const offset = grainAt(table.readUInt32LE(i * 4), first + i, header)
      if (offset === 0) continue
      const bytes = Math.min(grainBytes, virtualSize - (first + i) * grainBytes)
      tally.add(offset, bytes)
      if (!header.compressed && holes.cover(offset, bytes)) continue
      allocated.add(first + i)
    }
  }
  tally.end()
  return { tables, allocated }
}

/** Offsets of all grain tables; 0 where there is none. */
async function readDirectory(file: RandomAccess, { offset, bytes }: Table): Promise<Float64Array> {
  const directory = await readBytes(file, offset, bytes)
  const tables = new Float64Array(bytes / 4)
  let count = 0
  for (let i = 0; i < tables.length; i += 1) {
    const table = directory.readUInt32LE(i * 4) * SECTOR
    if (table + TABLE_BYTES > file.size) {
      throw new ImageUnsafe('grain_table_outside', 'a grain table lies outside its file')
    }
    tables[i] = table
    if (table !== 0) count += 1
  }
  // Before their sectors are listed, which takes 32 bytes of memory for 4 of the directory.
  if (count * TABLE_BYTES > file.size) {
    throw new ImageUnsafe('grain_table_count', 'there are more grain tables than its file has room for')
  }
  return tables
}

/** Offsets of every sector that the tables take. */
function sectorsOf(tables: Float64Array): Float64Array {
  const existing = tables.filter((offset) => offset !== 0)
  return new Float64Array(existing.length * TABLE_SECTORS).map(
    (_, i) => (existing[Math.floor(i / TABLE_SECTORS)] ?? 0) + (i % TABLE_SECTORS) * SECTOR
  )
}

/** Checks the places of grains. */
class GrainTally {
  readonly #compressed: boolean
  readonly #most: number
  readonly #runs: Runs
  #mapped = 0

  constructor({ compressed, fileSize, grainBytes }: Header, metadata: Metadata) {
    this.#compressed = compressed
    this.#most = Math.ceil(fileSize / (compressed ? SECTOR : grainBytes))
    this.#runs = new Runs((first, count) => {
      if (metadata.meets(first, count)) {
        throw new ImageUnsafe('data_in_metadata', 'a grain of its disk lies in one of its tables')
      }
    })
  }

  /** @param bytes of the grain that lie within the disk; of a compressed grain the first sector is all that is known. */
  add(offset: number, bytes: number): void {
    this.#runs.add(offset / SECTOR, this.#compressed ? 1 : bytes / SECTOR)
    this.#mapped += 1
    if (this.#mapped > this.#most) {
      throw new ImageUnsafe('mapped_twice', 'it maps more grains of the disk than its file has')
    }
  }

  end(): void {
    this.#runs.end()
  }
}
