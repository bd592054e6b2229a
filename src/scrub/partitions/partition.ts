import type { Range } from '../../disks/disk.ts'
import { Refused } from '../refused.ts'

/** Places are bytes of the disk. */
export type Partition = {
  /** As the guest's kernel counts them, from 1; 0 when the whole disk is one volume. */
  readonly number: number
  readonly start: number
  readonly length: number
  /** Two hexadecimal digits (MBR) or a GUID (GPT); empty without a table. */
  readonly type: string
  /** What the guest calls it; may be any text. Empty in an MBR. */
  readonly name: string
}

export type PartitionTable = {
  readonly kind: 'gpt' | 'mbr' | 'none'
  /** In their order on the disk, apart from each other. */
  readonly partitions: readonly Partition[]
  /** Where the table itself lies, in any order. */
  readonly structures: readonly Range[]
  /** What is odd but does no harm, as stable words. */
  readonly notes: readonly string[]
}

/** By place. Throws Refused when two of them overlap. */
export function inOrder(partitions: readonly Partition[]): Partition[] {
  const sorted = partitions.toSorted((a, b) => a.start - b.start)
  sorted.forEach(({ start }, i) => {
    const before = sorted[i - 1]
    if (before && before.start + before.length > start)
      throw new Refused('partitions-overlap', 'two partitions overlap')
  })
  return sorted
}
