import { ext4Crc, NO_SEED } from '../filesystems/ext/checksums.ts'
import { Refused } from '../refused.ts'

const MAGIC = 0xc03b3998
const HEADER_BYTES = 12
const TAIL_BYTES = 4
const COMPAT_CHECKSUM = 1
const INCOMPAT = { revoke: 1, bits64: 2, asyncCommit: 4, csum2: 8, csum3: 16 } as const
const KNOWN = Object.values(INCOMPAT).reduce((all, bit) => all | bit, 0)
const TAG = { escaped: 1, sameUuid: 2, last: 8 } as const
const COMMIT_CHECKSUM_AT = 16

export const DESCRIPTOR = 1
export const COMMIT = 2
export const REVOKE = 5

/**
 * The head of a journal; numbers of blocks count from its start.
 * @see https://docs.kernel.org/filesystems/ext4/journal.html
 */
export type JournalHead = {
  readonly blockBytes: number
  readonly blocks: number
  readonly first: number
  /** Where its changes begin; 0 when it has none. */
  readonly start: number
  /** Of the first transaction. */
  readonly sequence: number
  readonly bits64: boolean
  readonly csum: 0 | 2 | 3
  readonly seed: number
}

/** A block that a transaction has written: where it goes, and how it is kept. */
export type Tag = { readonly target: number; readonly escaped: boolean; readonly checksum: number }

/** @throws Refused where it is broken, or does what is not known here */
export function journalHead(bytes: Buffer): JournalHead {
  const u32 = (at: number) => bytes.readUInt32BE(at)
  const version2 = u32(4) === 4
  if (u32(0) !== MAGIC || !(version2 || u32(4) === 3)) throw new Refused('journal-broken', 'its journal has no head')
  const [compat, incompat] = version2 ? [u32(0x24), u32(0x28)] : [0, 0]
  const csum = (incompat & INCOMPAT.csum3) !== 0 ? 3 : (incompat & INCOMPAT.csum2) !== 0 ? 2 : 0
  if (csum > 0 && ext4Crc(NO_SEED, headForChecksum(bytes)) !== u32(0xfc)) {
    throw new Refused('checksum', "its journal's checksum is wrong")
  }
  const head: JournalHead = {
    blockBytes: u32(0xc),
    blocks: u32(0x10),
    first: u32(0x14),
    sequence: u32(0x18),
    start: u32(0x1c),
    bits64: (incompat & INCOMPAT.bits64) !== 0,
    csum,
    seed: csum > 0 ? ext4Crc(NO_SEED, bytes.subarray(0x30, 0x40)) : 0
  }
  if (head.start !== 0 && ((incompat & ~KNOWN) !== 0 || (csum === 0 && (compat & COMPAT_CHECKSUM) !== 0))) {
    throw new Refused('journal-features', 'its journal is kept in a way that is not known here')
  }
  if (
    head.first < 1 ||
    head.first >= head.blocks ||
    head.start >= head.blocks ||
    (head.start !== 0 && head.start < head.first)
  ) {
    throw new Refused('journal-broken', 'its journal contradicts itself')
  }
  return head
}

/** The head of the same journal without a change in it. */
export function emptiedHead(bytes: Buffer, head: JournalHead, sequence: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt32BE(sequence, 0x18)
  copy.writeUInt32BE(0, 0x1c)
  if (head.csum > 0) copy.writeUInt32BE(ext4Crc(NO_SEED, headForChecksum(copy)), 0xfc)
  return copy
}

function headForChecksum(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes.subarray(0, 1024))
  copy.writeUInt32BE(0, 0xfc)
  return copy
}

/** What kind of block this is of a transaction; undefined for what belongs to none or to another. */
export function kindOf(block: Buffer, sequence: number): number | undefined {
  return block.readUInt32BE(0) === MAGIC && block.readUInt32BE(8) === sequence ? block.readUInt32BE(4) : undefined
}

/** Throws Refused. */
export function tagsIn(head: JournalHead, block: Buffer): Tag[] {
  checkTail(head, block)
  const end = block.length - (head.csum > 0 ? TAIL_BYTES : 0)
  const tagBytes = head.csum === 3 ? 16 : 8 + (head.csum === 2 ? 2 : 0) + (head.bits64 ? 4 : 0)
  const tags: Tag[] = []
  for (let at = HEADER_BYTES; at + tagBytes <= end; ) {
    const flags = head.csum === 3 ? block.readUInt32BE(at + 4) : block.readUInt16BE(at + 6)
    const checksum = head.csum === 3 ? block.readUInt32BE(at + 12) : block.readUInt16BE(at + 4)
    const target = block.readUInt32BE(at) + (head.bits64 ? block.readUInt32BE(at + 8) * 2 ** 32 : 0)
    tags.push({ target, escaped: (flags & TAG.escaped) !== 0, checksum })
    if ((flags & TAG.last) !== 0) break
    at += tagBytes + ((flags & TAG.sameUuid) !== 0 ? 0 : 16)
  }
  return tags
}

/** Blocks that earlier transactions must not write any more. Throws Refused. */
export function revokedIn(head: JournalHead, block: Buffer): number[] {
  checkTail(head, block)
  const end = block.readUInt32BE(HEADER_BYTES)
  const bytes = head.bits64 ? 8 : 4
  if (end < HEADER_BYTES + 4 || end > block.length - (head.csum > 0 ? TAIL_BYTES : 0)) throw broken()
  const revoked: number[] = []
  for (let at = HEADER_BYTES + 4; at + bytes <= end; at += bytes) {
    revoked.push(head.bits64 ? Number(block.readBigUInt64BE(at)) : block.readUInt32BE(at))
  }
  return revoked
}

/** Throws Refused. */
export function checkCommit(head: JournalHead, block: Buffer): void {
  if (head.csum === 0) return
  const copy = Buffer.from(block)
  copy.writeUInt32BE(0, COMMIT_CHECKSUM_AT)
  if (ext4Crc(head.seed, copy) !== block.readUInt32BE(COMMIT_CHECKSUM_AT)) throw broken()
}

/** The block that a tag stands for, as it goes to its place. Throws Refused. */
export function unpacked(head: JournalHead, tag: Tag, sequence: number, block: Buffer): Buffer {
  if (head.csum > 0) {
    const id = Buffer.alloc(4)
    id.writeUInt32BE(sequence)
    const checksum = ext4Crc(head.seed, id, block)
    if ((head.csum === 3 ? checksum : checksum & 0xffff) !== tag.checksum) throw broken()
  }
  if (tag.escaped) block.writeUInt32BE(MAGIC, 0)
  return block
}

function checkTail(head: JournalHead, block: Buffer): void {
  if (head.csum === 0) return
  const copy = Buffer.from(block)
  copy.writeUInt32BE(0, block.length - TAIL_BYTES)
  if (ext4Crc(head.seed, copy) !== block.readUInt32BE(block.length - TAIL_BYTES)) throw broken()
}

const broken = () => new Refused('journal-broken', 'a block of its journal is not as it was written')
