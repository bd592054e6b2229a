import { crc32 } from 'node:zlib'
import { guidAt, NO_GUID } from '../../disks/vhdx/guid.ts'
import { MiB } from '../../domain/bytes.ts'
import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'
import { inOrder, type Partition, type PartitionTable } from './partition.ts'

const HEADER_BYTES = 92
/** 128 entries of 128 bytes are 16 KiB. */
const MAX_ARRAY_BYTES = MiB
const NAME_AT = 56
const NAME_BYTES = 72

/** A header whose checksums are right and whose places are inside the disk. Numbers of sectors. */
type Header = {
  readonly self: number
  readonly other: number
  readonly firstUsable: number
  readonly lastUsable: number
  readonly arrayAt: number
  readonly arraySectors: number
  readonly entryBytes: number
  readonly array: Buffer
}

export const hasGptMark = async (disk: Volume, sectorBytes: number): Promise<boolean> =>
  disk.length >= sectorBytes * 2 && (await disk.read(sectorBytes, 8)).toString('latin1') === 'EFI PART'

/**
 * The partitions of a GPT. When the first copy is broken the one in the last sector is read, as the guest does, and that is
 * noted; when both are whole they must agree. Throws Refused when neither can be trusted, or for partitions that overlap or
 * lie outside.
 * @see UEFI 2.10, 5.3 GUID Partition Table (GPT) Disk Layout
 */
export async function readGpt(disk: Volume, sectorBytes: number): Promise<PartitionTable> {
  const sectors = Math.floor(disk.length / sectorBytes)
  const primary = await orRule(readHeader(disk, 1, sectorBytes))
  const backupAt = primary instanceof Refused ? sectors - 1 : primary.other
  const backup = await orRule(readHeader(disk, backupAt, sectorBytes))
  const header = primary instanceof Refused ? backup : primary
  if (header instanceof Refused) {
    throw primary instanceof Refused ? primary : header
  }
  const notes: string[] = []
  if (primary instanceof Refused) notes.push('gpt-primary-broken')
  if (backup instanceof Refused) notes.push('gpt-backup-broken')
  if (header.self === 1 && header.other !== sectors - 1) notes.push('gpt-backup-not-at-end')
  if (!(primary instanceof Refused) && !(backup instanceof Refused) && !primary.array.equals(backup.array)) {
    throw new Refused('gpt-copies-differ', 'the two copies of its partition table differ')
  }
  const structures = [header, backup].flatMap((copy) =>
    copy instanceof Refused
      ? []
      : [
          { offset: copy.self * sectorBytes, length: sectorBytes },
          { offset: copy.arrayAt * sectorBytes, length: copy.arraySectors * sectorBytes }
        ]
  )
  // A broken copy stays as it is: whoever repairs it may want to see it.
  const ends = [
    { offset: 0, length: Math.min(disk.length, (2 + header.arraySectors) * sectorBytes) },
    { offset: Math.max(0, (sectors - 1 - header.arraySectors) * sectorBytes), length: sectorBytes }
  ]
  return {
    kind: 'gpt',
    partitions: inOrder(partitionsOf(header, sectorBytes)),
    structures: [...structures, ...ends],
    notes
  }
}

async function orRule(header: Promise<Header>): Promise<Header | Refused> {
  return header.catch((error: unknown) => {
    if (error instanceof Refused) return error
    throw error
  })
}

/** Throws Refused unless both checksums are right and everything lies inside the disk. */
async function readHeader(disk: Volume, at: number, sectorBytes: number): Promise<Header> {
  const sectors = Math.floor(disk.length / sectorBytes)
  const bytes = await disk.read(at * sectorBytes, sectorBytes)
  const headerBytes = bytes.readUInt32LE(12)
  if (bytes.toString('latin1', 0, 8) !== 'EFI PART') throw new Refused('gpt-broken', 'its partition table is missing')
  if (headerBytes < HEADER_BYTES || headerBytes > sectorBytes)
    throw new Refused('gpt-header', 'its header is impossible')
  const stated = bytes.readUInt32LE(16)
  const copy = Buffer.from(bytes.subarray(0, headerBytes))
  copy.writeUInt32LE(0, 16)
  if (crc32(copy) !== stated) throw new Refused('gpt-checksum', "its header's checksum is wrong")
  if (bytes.readUInt32LE(8) !== 0x00010000) throw new Refused('gpt-version', 'its version is not known here')

  const lba = (offset: number) => {
    const value = bytes.readBigUInt64LE(offset)
    if (value >= BigInt(sectors)) throw new Refused('gpt-outside', 'its header points outside the disk')
    return Number(value)
  }
  const [count, entryBytes] = [bytes.readUInt32LE(80), bytes.readUInt32LE(84)]
  const arrayBytes = count * entryBytes
  if (entryBytes < 128 || entryBytes % 128 !== 0 || !(arrayBytes > 0) || arrayBytes > MAX_ARRAY_BYTES) {
    throw new Refused('gpt-entries', 'the size of its table is impossible')
  }
  const arraySectors = Math.ceil(arrayBytes / sectorBytes)
  const [firstUsable, lastUsable, arrayAt] = [lba(40), lba(48), lba(72)]
  const inFront = arrayAt >= 2 && arrayAt + arraySectors <= firstUsable
  const behind = arrayAt > lastUsable && arrayAt + arraySectors <= sectors
  if (lba(24) !== at || firstUsable > lastUsable || !(inFront || behind)) {
    throw new Refused('gpt-places', 'its header contradicts itself')
  }
  const array = await disk.read(arrayAt * sectorBytes, arrayBytes)
  if (crc32(array) !== bytes.readUInt32LE(88)) throw new Refused('gpt-checksum', "its table's checksum is wrong")
  return { self: at, other: lba(32), firstUsable, lastUsable, arrayAt, arraySectors, entryBytes, array }
}

function partitionsOf({ array, entryBytes, firstUsable, lastUsable }: Header, sectorBytes: number): Partition[] {
  const partitions: Partition[] = []
  for (let at = 0, number = 1; at + entryBytes <= array.length; at += entryBytes, number += 1) {
    const type = guidAt(array, at)
    if (type === NO_GUID) continue
    const [first, last] = [array.readBigUInt64LE(at + 32), array.readBigUInt64LE(at + 40)]
    if (first < BigInt(firstUsable) || last > BigInt(lastUsable) || first > last) {
      throw new Refused('partition-outside', 'a partition lies outside its disk')
    }
    const name = array.toString('utf16le', at + NAME_AT, at + NAME_AT + NAME_BYTES)
    partitions.push({
      number,
      start: Number(first) * sectorBytes,
      length: Number(last - first + 1n) * sectorBytes,
      type,
      name: name.split('\0', 1).join('').toWellFormed()
    })
  }
  return partitions
}
