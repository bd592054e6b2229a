import { ext4Crc, NO_SEED } from '../filesystems/ext/checksums.ts'
import { Groups } from '../filesystems/ext/groups.ts'
import { readSuperblockInUse, SUPERBLOCK_AT, SUPERBLOCK_BYTES, type Superblock } from '../filesystems/ext/superblock.ts'
import type { OverlayDisk } from '../overlay-disk.ts'
import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'
import { type BlockRun, readInode, runsOf } from './inode-reader.ts'
import {
  COMMIT,
  checkCommit,
  DESCRIPTOR,
  emptiedHead,
  type JournalHead,
  journalHead,
  kindOf,
  REVOKE,
  revokedIn,
  type Tag,
  tagsIn,
  unpacked
} from './journal-blocks.ts'

const JOURNAL_INODE = 8
const INCOMPAT_AT = 0x60
const RECOVER = 0x4
const CHECKSUM_AT = 0x3fc
/** A journal is made in one go, mostly of a handful of pieces; every block that is looked up looks through them. */
const MAX_RUNS = 1000
/** Writes and revocations that are kept at once. The same few blocks may be mapped as all of a large journal. */
const MAX_ENTRIES = 1_000_000

/** What is wanted of an overlay. */
type Changed = Pick<OverlayDisk, 'read' | 'write' | 'zero'>
type Write = { readonly tag: Tag; readonly from: number; readonly sequence: number }

/**
 * Brings what the journal of an ext file system holds to its places, and leaves the journal empty: no block of it holds
 * anything but its head. As the guest's own kernel would at its next start.
 * @param volume sees the disk as it is now
 * Throws Refused where any block of it is not as it was written.
 */
export async function settleJournal(disk: Changed, volume: Volume): Promise<void> {
  const sb = await readSuperblockInUse(volume)
  const { journal: has, needsReplay } = sb.features
  if (!has && needsReplay) throw new Refused('journal-missing', 'it has changes to be replayed, but no journal')
  if (!has) return
  if (sb.journalInode !== JOURNAL_INODE) throw new Refused('journal-elsewhere', 'its journal is on another device')
  const journal = await Journal.open(volume, sb)
  if (needsReplay !== (journal.head.start !== 0)) {
    // A guest that was started and did nothing has the mark, but nothing in its journal.
    if (!needsReplay) throw new Refused('journal-unclear', 'its journal holds changes that it does not know of')
  }
  const write = (block: number, bytes: Buffer) => disk.write(bytes, volume.start + block * sb.blockBytes)
  const sequence = journal.head.start === 0 ? journal.head.sequence : await replay(journal, sb, write)
  if (needsReplay) await clearMark(disk, volume)
  for (const { block, count } of journal.runs)
    await disk.zero(volume.start + block * sb.blockBytes, count * sb.blockBytes)
  await write(journal.place(0), await journal.emptied(sequence))
}

class Journal {
  readonly head: JournalHead
  readonly runs: readonly BlockRun[]
  readonly #volume: Volume
  readonly #headBlock: Buffer

  private constructor(volume: Volume, headBlock: Buffer, runs: readonly BlockRun[]) {
    this.#volume = volume
    this.#headBlock = headBlock
    this.head = journalHead(headBlock)
    this.runs = runs
  }

  static async open(volume: Volume, sb: Superblock): Promise<Journal> {
    const inode = await readInode(volume, sb, await Groups.read(volume, sb), sb.journalInode)
    if (inode.kind !== 'file') throw new Refused('journal-broken', 'its journal is no file')
    const runs = await runsOf(volume, sb, inode)
    if (runs.length > MAX_RUNS) throw new Refused('journal-broken', 'its journal is in too many pieces')
    const first = runs[0]
    if (first?.at !== 0) throw new Refused('journal-broken', 'its journal has no head')
    const journal = new Journal(volume, await volume.read(first.block * sb.blockBytes, sb.blockBytes), runs)
    const last = runs.at(-1) ?? first
    const whole = runs.every(({ at }, i) => i === 0 || at === (runs[i - 1]?.at ?? 0) + (runs[i - 1]?.count ?? 0))
    if (journal.head.blockBytes !== sb.blockBytes || !whole || last.at + last.count < journal.head.blocks) {
      throw new Refused('journal-broken', 'its journal is not as long as it says')
    }
    return journal
  }

  /** The block of the file system with a block of the journal. */
  place(number: number): number {
    const run = this.runs.find(({ at, count }) => number >= at && number < at + count)
    if (!run) throw new Refused('journal-broken', 'its journal is not as long as it says')
    return run.block + number - run.at
  }

  read(number: number): Promise<Buffer> {
    return this.#volume.read(this.place(number) * this.head.blockBytes, this.head.blockBytes)
  }

  /** The block that is used after `number` and `count` more. */
  after(number: number, count = 1): number {
    const { first, blocks } = this.head
    return number + count < blocks ? number + count : first + ((number + count - blocks) % (blocks - first))
  }

  async emptied(sequence: number): Promise<Buffer> {
    return emptiedHead(this.#headBlock, this.head, sequence)
  }
}

/** Gives the number that the next transaction has. */
async function replay(journal: Journal, sb: Superblock, write: (block: number, bytes: Buffer) => Promise<void>) {
  const { writes, revoked, sequence } = await transactions(journal)
  for (const { tag, from, sequence: by } of writes) {
    const until = revoked.get(tag.target)
    if (until !== undefined && !isAfter(by, until)) continue
    const block = unpacked(journal.head, tag, by, await journal.read(from))
    const inside = tag.target >= sb.firstBlock && tag.target < sb.blocks
    const own = journal.runs.some(({ block: start, count }) => tag.target >= start && tag.target < start + count)
    // With blocks of 1 KiB the first one is before the file system, and belongs to nobody.
    if (!inside || own) throw new Refused('journal-outside', 'its journal writes to where no file can be')
    await write(tag.target, block)
  }
  return sequence
}

/** All that was committed. What stands behind the last commit never happened. */
async function transactions(journal: Journal) {
  const writes: Write[] = []
  const revoked = new Map<number, number>()
  let sequence = journal.head.sequence
  let open: Write[] = []
  let openRevoked: number[] = []
  let at = journal.head.start
  for (let passed = 0; passed < journal.head.blocks; ) {
    const block = await journal.read(at)
    const kind = kindOf(block, sequence)
    let used = 1
    if (kind === DESCRIPTOR) {
      const tags = tagsIn(journal.head, block)
      for (const [i, tag] of tags.entries()) open.push({ tag, from: journal.after(at, i + 1), sequence })
      used += tags.length
    } else if (kind === REVOKE) {
      for (const target of revokedIn(journal.head, block)) openRevoked.push(target)
    } else if (kind === COMMIT) {
      checkCommit(journal.head, block)
      for (const one of open) writes.push(one)
      for (const target of openRevoked) revoked.set(target, sequence)
      open = []
      openRevoked = []
      sequence = (sequence + 1) >>> 0
    } else break
    if (writes.length + revoked.size + open.length + openRevoked.length > MAX_ENTRIES) {
      throw new Refused('journal-too-large', 'its journal has more in it than is looked at')
    }
    at = journal.after(at, used)
    passed += used
  }
  return { writes, revoked, sequence }
}

/** Transactions are numbered in a circle. */
const isAfter = (sequence: number, other: number): boolean => ((sequence - other) | 0) > 0

async function clearMark(disk: Changed, { start }: Volume): Promise<void> {
  const bytes = Buffer.alloc(SUPERBLOCK_BYTES)
  await disk.read(bytes, start + SUPERBLOCK_AT)
  bytes.writeUInt32LE(bytes.readUInt32LE(INCOMPAT_AT) & ~RECOVER, INCOMPAT_AT)
  if ((bytes.readUInt32LE(0x64) & 0x400) !== 0)
    bytes.writeUInt32LE(ext4Crc(NO_SEED, bytes.subarray(0, CHECKSUM_AT)), CHECKSUM_AT)
  await disk.write(bytes, start + SUPERBLOCK_AT)
}
