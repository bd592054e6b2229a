import type { Disk, Range } from '../disks/disk.ts'
import { type ByteRanges, RangesBuilder } from './byte-ranges.ts'
import type { FileSystemReader } from './filesystems/file-system.ts'
import { recognised } from './filesystems/recognised.ts'
import type { Partition, PartitionTable } from './partitions/partition.ts'
import { readPartitions } from './partitions/table.ts'
import { Refused } from './refused.ts'
import { type Source, sourceOf, Volume } from './volume.ts'

/** What becomes of bytes that lie in no file system, except partition tables, which always stay. */
export type GapPolicy = {
  /** Between and behind partitions, and behind a file system that is smaller than its partition. */
  readonly gaps: 'keep' | 'zero'
  /** Before the first partition: GRUB lies there on disks with an MBR. */
  readonly bootGap: 'keep' | 'zero'
}

/** Nothing is dropped of what was not trusted: `rule` is stable and names the check, `why` is for people. */
type Trust = { readonly trusted: true } | { readonly trusted: false; readonly rule: string; readonly why: string }

type PartitionReport = Partition & {
  /** Name of what it holds; several when it looks like several things; `unknown`. */
  readonly fileSystem: string
  /** Bytes that its file system does not use; 0 unless trusted. */
  readonly freeBytes: number
} & Trust

type FreeSpaceReport = {
  /** `unreadable` when the table was refused: then `trusted` says why. */
  readonly table: PartitionTable['kind'] | 'unreadable'
  readonly notes: readonly string[]
  readonly partitions: readonly PartitionReport[]
  /** Bytes of gaps that are dropped. */
  readonly gapBytes: number
} & Trust

export type FreeSpace = {
  /** Bytes of the disk that nothing needs, for ZeroedDisk. */
  readonly extents: ByteRanges
  /** The same in small pieces between bytes that are needed. */
  readonly remains: ByteRanges
  readonly report: FreeSpaceReport
}

/**
 * Finds what of a disk no file of the guest needs. What cannot be trusted is kept and reported, never an error: errors are
 * those of reading the disk, and the signal's reason.
 */
export async function freeSpace(
  disk: Disk,
  policy: GapPolicy,
  fileSystems: readonly FileSystemReader[],
  signal: AbortSignal
): Promise<FreeSpace> {
  try {
    const source = await sourceOf(disk, signal)
    const table = await readPartitions(new Volume(source, 0, disk.virtualSize), async (start, length) => {
      const { readers, others } = await look(new Volume(source, start, length), fileSystems)
      return readers.length + others.length > 0
    })
    return await inTable(source, table, policy, fileSystems)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const report = { table: 'unreadable', notes: [], partitions: [], gapBytes: 0, ...distrust(error) } as const
    return { extents: new RangesBuilder().build(), remains: new RangesBuilder().build(), report }
  }
}

async function inTable(
  source: Source,
  table: PartitionTable,
  policy: GapPolicy,
  fileSystems: readonly FileSystemReader[]
): Promise<FreeSpace> {
  const extents = new RangesBuilder()
  const remains = new RangesBuilder()
  const partitions: PartitionReport[] = []
  let gapBytes = 0
  const gap = (from: number, to: number) => {
    if (policy[partitions.length === 0 ? 'bootGap' : 'gaps'] === 'keep') return
    for (const { offset, length } of without(table.structures, from, to)) {
      extents.add(offset, length)
      gapBytes += length
    }
  }
  let at = 0
  for (const partition of table.partitions) {
    gap(at, partition.start)
    at = partition.start + partition.length
    const volume = new Volume(source, partition.start, partition.length)
    const { unused, ...report } = await examine(volume, partition, fileSystems)
    partitions.push(report)
    for (const { offset, length } of unused?.ranges ?? []) extents.add(partition.start + offset, length)
    for (const { offset, length } of unused?.remains ?? []) remains.add(partition.start + offset, length)
    if (unused) gap(partition.start + unused.length, at)
  }
  if (table.partitions.length > 0) gap(at, source.disk.virtualSize)
  return {
    extents: extents.build(),
    remains: remains.build(),
    report: { table: table.kind, notes: table.notes, partitions, gapBytes, trusted: true }
  }
}

async function examine(volume: Volume, partition: Partition, fileSystems: readonly FileSystemReader[]) {
  const { readers, others } = await look(volume, fileSystems)
  const names = [...readers.map(({ name }) => name), ...others]
  const kept = { ...partition, fileSystem: names.join(' + ') || 'unknown', freeBytes: 0, unused: undefined }
  const [reader, second] = readers
  if (second || names.length > 1) {
    return { ...kept, ...distrust(new Refused('several-file-systems', 'it looks like several file systems at once')) }
  }
  if (!reader) return { ...kept, ...distrust(new Refused('not-read', 'what it holds is not read here')) }
  try {
    const unused = await reader.unused(volume)
    return { ...kept, freeBytes: unused.ranges.bytes, unused, trusted: true as const }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    return { ...kept, ...distrust(error) }
  }
}

/** All that a volume looks like. */
async function look(volume: Volume, fileSystems: readonly FileSystemReader[]) {
  const readers: FileSystemReader[] = []
  for (const reader of fileSystems) if (await reader.matches(volume)) readers.push(reader)
  return { readers, others: await recognised(volume) }
}

const distrust = ({ rule, message }: Refused) => ({ trusted: false, rule, why: message }) as const

/** What of [from, to) is outside of `structures`. */
function* without(structures: readonly Range[], from: number, to: number): Generator<Range, void> {
  let at = from
  for (const { offset, length } of structures.toSorted((a, b) => a.offset - b.offset)) {
    if (offset >= to || offset + length <= at) continue
    if (offset > at) yield { offset: at, length: offset - at }
    at = offset + length
  }
  if (at < to) yield { offset: at, length: to - at }
}
