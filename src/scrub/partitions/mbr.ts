import type { Range } from '../../disks/disk.ts'
import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'
import { inOrder, type Partition, type PartitionTable } from './partition.ts'

const TABLE_AT = 446
const ENTRY_BYTES = 16
const EXTENDED = [0x05, 0x0f, 0x85]
const PROTECTIVE = 0xee
/** Windows' dynamic disks keep their own table behind the last partition. */
const DYNAMIC = 0x42
/** More than any kernel gives names to. */
const MAX_LOGICAL = 128

/** One of the four entries of a table. `first` and `count` are sectors. */
export type MbrEntry = {
  readonly active: number
  readonly type: number
  readonly first: number
  readonly count: number
}

/** The four entries of a boot sector; undefined when it is none. An entry without type or length is empty. */
export function entriesOf(sector: Buffer): MbrEntry[] | undefined {
  if (sector.readUInt16LE(510) !== 0xaa55) return undefined
  return [0, 1, 2, 3].map((i) => {
    const at = TABLE_AT + i * ENTRY_BYTES
    const [active, type] = [sector.readUInt8(at), sector.readUInt8(at + 4)]
    return { active, type, first: sector.readUInt32LE(at + 8), count: sector.readUInt32LE(at + 12) }
  })
}

export const isEmpty = ({ type, count }: MbrEntry): boolean => type === 0 || count === 0
export const isProtective = ({ type }: MbrEntry): boolean => type === PROTECTIVE

/**
 * The partitions of an MBR and of the chain of tables in its extended partition. Throws Refused for what lies outside the
 * disk, overlaps, or loops.
 * @param sectorBytes the unit of the table's numbers, which stands nowhere in it
 */
export async function readMbr(
  disk: Volume,
  entries: readonly MbrEntry[],
  sectorBytes: number
): Promise<PartitionTable> {
  const partitions: Partition[] = []
  const structures: Range[] = [{ offset: 0, length: sectorBytes }]
  const extended: Partition[] = []
  for (const [i, entry] of entries.entries()) {
    if (isEmpty(entry)) continue
    if (entry.active !== 0 && entry.active !== 0x80) throw new Refused('mbr-entry', 'an entry of its table is no entry')
    if (entry.type === DYNAMIC) throw new Refused('dynamic-disk', 'it is a dynamic disk of Windows')
    const partition = partitionOf(entry, i + 1, 0, { offset: 0, length: disk.length }, sectorBytes)
    if (EXTENDED.includes(entry.type)) extended.push(partition)
    else partitions.push(partition)
  }
  if (extended.length > 1) throw new Refused('extended-count', 'it has more than one extended partition')
  inOrder([...partitions, ...extended])
  for (const container of extended) {
    const chain = await readChain(disk, container, sectorBytes)
    partitions.push(...chain.partitions)
    structures.push(...chain.structures)
  }
  return { kind: 'mbr', partitions: inOrder(partitions), structures, notes: [] }
}

/** Each table of the chain names one logical partition, counted from itself, and the next table, counted from the first. */
async function readChain(disk: Volume, container: Partition, sectorBytes: number) {
  const partitions: Partition[] = []
  const structures: Range[] = []
  const inside = { offset: container.start, length: container.length }
  const seen = new Set<number>()
  for (let at: number | undefined = container.start; at !== undefined; ) {
    if (seen.has(at)) throw new Refused('extended-loop', 'the chain of its logical partitions loops')
    if (seen.size === MAX_LOGICAL) throw new Refused('extended-count', 'it has too many logical partitions')
    seen.add(at)
    const [entry, next] = entriesOf(await disk.read(at, 512)) ?? []
    if (!entry || !next) {
      // The first one is missing when nothing was ever put into the extended partition.
      if (at === container.start) break
      throw new Refused('extended-broken', 'the chain of its logical partitions ends in nothing')
    }
    structures.push({ offset: at, length: sectorBytes })
    if (!isEmpty(entry)) partitions.push(partitionOf(entry, 5 + partitions.length, at, inside, sectorBytes))
    at = nextTable(next, container, sectorBytes)
  }
  const tables = structures.map(({ offset, length }) => ({ number: 0, start: offset, length, type: '', name: '' }))
  inOrder([...partitions, ...tables])
  return { partitions, structures }
}

function nextTable(entry: MbrEntry, container: Partition, sectorBytes: number): number | undefined {
  if (isEmpty(entry)) return undefined
  if (!EXTENDED.includes(entry.type) || (entry.first + 1) * sectorBytes > container.length) {
    throw new Refused('extended-broken', 'the chain of its logical partitions leads outside')
  }
  return container.start + entry.first * sectorBytes
}

/** Throws Refused unless the partition starts behind `base`, its table, and lies in `inside`. */
function partitionOf(entry: MbrEntry, number: number, base: number, inside: Range, sectorBytes: number): Partition {
  const start = base + entry.first * sectorBytes
  const length = entry.count * sectorBytes
  if (entry.first === 0 || start + length > inside.offset + inside.length) {
    throw new Refused('partition-outside', 'a partition lies outside its disk')
  }
  return { number, start, length, type: entry.type.toString(16).padStart(2, '0'), name: '' }
}
