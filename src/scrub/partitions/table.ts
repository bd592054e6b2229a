import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'
import { hasGptMark, readGpt } from './gpt.ts'
import { entriesOf, isEmpty, isProtective, type MbrEntry, readMbr } from './mbr.ts'
import type { PartitionTable } from './partition.ts'

const SECTOR_SIZES = [512, 4096] as const

/**
 * Reads the partition table of a disk. Throws Refused wherever guests could disagree on what the partitions are.
 * @param holdsFileSystem whether the whole disk, or the partition at [start, start + length), begins with one that is known
 */
export async function readPartitions(
  disk: Volume,
  holdsFileSystem: (start: number, length: number) => Promise<boolean>
): Promise<PartitionTable> {
  const entries = entriesOf(await disk.read(0, 512))
  const used = entries?.filter((entry) => !isEmpty(entry)) ?? []
  const bare = await holdsFileSystem(0, disk.length)
  const gpt: number[] = []
  for (const sectorBytes of SECTOR_SIZES) if (await hasGptMark(disk, sectorBytes)) gpt.push(sectorBytes)

  if (used.some(isProtective)) {
    if (bare) throw new Refused('hybrid', 'it holds a partition table and a file system at once')
    return readProtected(disk, used, gpt)
  }
  if (gpt.length > 0) throw new Refused('mbr-and-gpt', 'its two kinds of partition table contradict each other')
  // The boot sector of a file system, or of nothing, has an empty table or code where a table would be.
  if (bare && (used.length === 0 || !isTable(used)))
    return { kind: 'none', partitions: [whole(disk)], structures: [], notes: [] }
  if (bare) throw new Refused('hybrid', 'it holds a partition table and a file system at once')
  if (!entries) return { kind: 'none', partitions: [whole(disk)], structures: [], notes: [] }
  return readMbrOfEitherSector(disk, entries, holdsFileSystem)
}

const isTable = (entries: readonly MbrEntry[]): boolean =>
  entries.every(({ active, first }) => (active === 0 || active === 0x80) && first > 0)

const whole = ({ length }: Volume) => ({ number: 0, start: 0, length, type: '', name: '' })

/** A GPT behind its protective MBR, which may name partitions of the GPT besides, for old systems. */
async function readProtected(
  disk: Volume,
  entries: readonly MbrEntry[],
  sizes: readonly number[]
): Promise<PartitionTable> {
  const [sectorBytes = await backupSectorBytes(disk), other] = sizes
  if (other) throw new Refused('sector-size', 'it has partition tables for two sizes of sectors')
  const table = await readGpt(disk, sectorBytes)
  const copies = entries.filter((entry) => !isProtective(entry))
  for (const { first, count } of copies) {
    const same = table.partitions.some(
      ({ start, length }) => start === first * sectorBytes && length === count * sectorBytes
    )
    if (!same) throw new Refused('hybrid-mbr', 'its MBR names a partition that its GPT does not have')
  }
  return copies.length > 0 ? { ...table, notes: [...table.notes, 'hybrid-mbr'] } : table
}

/** With its first copy gone, the last sector tells how large sectors are. */
async function backupSectorBytes(disk: Volume): Promise<number> {
  for (const sectorBytes of SECTOR_SIZES) {
    const last = (Math.floor(disk.length / sectorBytes) - 1) * sectorBytes
    if (last > 0 && (await disk.read(last, 8)).toString('latin1') === 'EFI PART') return sectorBytes
  }
  throw new Refused('gpt-broken', 'its partition table is missing')
}

/** An MBR counts sectors without saying how large they are: its partitions must make sense in one size only. */
async function readMbrOfEitherSector(
  disk: Volume,
  entries: readonly MbrEntry[],
  holdsFileSystem: (start: number, length: number) => Promise<boolean>
): Promise<PartitionTable> {
  const small = await readMbr(disk, entries, 512).catch(refusalOnly)
  const large = await readMbr(disk, entries, 4096).catch(refusalOnly)
  const makesSense = async (table: PartitionTable | Refused) => {
    if (table instanceof Refused) return false
    for (const { start, length } of table.partitions) if (await holdsFileSystem(start, length)) return true
    return false
  }
  const largeMakesSense = await makesSense(large)
  if (largeMakesSense && (await makesSense(small))) {
    throw new Refused('sector-size', 'its partition table makes sense for two sizes of sectors')
  }
  const table = largeMakesSense ? large : small
  if (table instanceof Refused) throw table
  return largeMakesSense ? { ...table, notes: [...table.notes, 'sectors-of-4096'] } : table
}

function refusalOnly(error: unknown): Refused {
  if (error instanceof Refused) return error
  throw error
}
