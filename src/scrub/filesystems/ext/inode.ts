import { ext4Crc, le32 } from './checksums.ts'
import type { Superblock } from './superblock.ts'

export const EXTENTS = 0x80000
export const INLINE_DATA = 0x10000000
const CHECKSUM_LOW_AT = 0x7c
const CHECKSUM_HIGH_AT = 0x82
const ROOM_FOR_POINTERS = 60

type InodeKind = 'file' | 'folder' | 'link' | 'special' | 'none'
const KINDS: Readonly<Record<number, InodeKind>> = {
  0: 'none',
  1: 'special',
  2: 'special',
  4: 'folder',
  6: 'special',
  8: 'file',
  10: 'link',
  12: 'special'
}

/**
 * What an inode says of its blocks.
 * @see https://docs.kernel.org/filesystems/ext4/inodes.html
 */
export type Inode = {
  readonly number: number
  /** Undefined when the mode is none that exists. */
  readonly kind: InodeKind | undefined
  readonly links: number
  /** When it was deleted; 0 when it lives. */
  readonly deletedAt: number
  readonly flags: number
  readonly size: number
  /** 60 bytes: pointers to blocks, an extent tree's root, a link's target, or a device's number. */
  readonly pointers: Buffer
  /** The block of its extended attributes, or 0. */
  readonly attributes: number
  /** Of the checksums of its extent blocks. */
  readonly seed: number
}

export function inodeOf(bytes: Buffer, number: number, sb: Superblock): Inode {
  return {
    number,
    kind: KINDS[bytes.readUInt16LE(0) >> 12],
    links: bytes.readUInt16LE(0x1a),
    deletedAt: bytes.readUInt32LE(0x14),
    flags: bytes.readUInt32LE(0x20),
    size: bytes.readUInt32LE(4) + bytes.readUInt32LE(0x6c) * 2 ** 32,
    pointers: bytes.subarray(0x28, 0x28 + ROOM_FOR_POINTERS),
    attributes: bytes.readUInt32LE(0x68) + (sb.features.bits64 ? bytes.readUInt16LE(0x76) * 2 ** 32 : 0),
    seed: sb.features.metadataCsum ? seedOf(bytes, number, sb) : 0
  }
}

/** Whether the inode's own checksum is right; true where inodes have none. */
export function isIntact(bytes: Buffer, number: number, sb: Superblock): boolean {
  return withChecksum(bytes, number, sb).equals(bytes)
}

/** The inode with the checksum it must have, where inodes have one. */
export function withChecksum(bytes: Buffer, number: number, sb: Superblock): Buffer {
  if (!sb.features.metadataCsum) return bytes
  const copy = Buffer.from(bytes)
  copy.writeUInt16LE(0, CHECKSUM_LOW_AT)
  const extraBytes = bytes.length > 128 ? bytes.readUInt16LE(0x80) : 0
  const wide = extraBytes >= 4
  if (wide) copy.writeUInt16LE(0, CHECKSUM_HIGH_AT)
  const checksum = ext4Crc(seedOf(bytes, number, sb), copy)
  copy.writeUInt16LE(checksum & 0xffff, CHECKSUM_LOW_AT)
  if (wide) copy.writeUInt16LE(checksum >>> 16, CHECKSUM_HIGH_AT)
  return copy
}

/** A link whose target stands where others have their pointers. */
export const isShortLink = ({ kind, flags, size }: Inode): boolean =>
  kind === 'link' && (flags & EXTENTS) === 0 && size < ROOM_FOR_POINTERS

const seedOf = (bytes: Buffer, number: number, sb: Superblock): number =>
  ext4Crc(sb.seed, le32(number), bytes.subarray(0x64, 0x68))
