import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import { crc16, ext4Crc, le32 } from './checksums.ts'
import { descriptorBlock, descriptorBlocks } from './layout.ts'
import type { Superblock } from './superblock.ts'

const INODES_UNUSED = 1
const BLOCKS_UNUSED = 2
const CHECKSUM_AT = 0x1e

/** What a group's descriptor says. Places are blocks, inside the file system. */
export type Group = {
  readonly blockBitmap: number
  readonly inodeBitmap: number
  readonly inodeTable: number
  /** In clusters. */
  readonly freeClusters: number
  readonly freeInodes: number
  /** The bitmap was never written: all but tables is free. */
  readonly blocksUnused: boolean
  readonly inodesUnused: boolean
  /** The inodes at the end of the table that were never used: what stands there may be anything. */
  readonly inodesNeverUsed: number
  readonly inodesZeroed: boolean
  readonly blockBitmapChecksum: number
  readonly inodeBitmapChecksum: number
}

/** The descriptors of all groups, as bytes: they are taken apart when they are asked for. */
export class Groups {
  readonly #sb: Superblock
  readonly #descriptors: Buffer

  private constructor(sb: Superblock, descriptors: Buffer) {
    this.#sb = sb
    this.#descriptors = descriptors
  }

  static async read(volume: Volume, sb: Superblock): Promise<Groups> {
    const blocks: Buffer[] = []
    for (let i = 0; i < descriptorBlocks(sb); i += 1) {
      blocks.push(await volume.read(descriptorBlock(sb, i) * sb.blockBytes, sb.blockBytes))
    }
    return new Groups(sb, Buffer.concat(blocks))
  }

  /** Throws Refused when the checksum is wrong or a place lies outside. */
  get(index: number): Group {
    const sb = this.#sb
    const size = sb.descriptorBytes
    const bytes = this.#descriptors.subarray(index * size, (index + 1) * size)
    if (sb.features.groupCsum && checksumOf(sb, index, bytes) !== bytes.readUInt16LE(CHECKSUM_AT)) {
      throw new Refused('checksum', "a group descriptor's checksum is wrong")
    }
    const u16 = (at: number) => bytes.readUInt16LE(at)
    const wide16 = (low: number, high: number) => u16(low) + (sb.features.bits64 ? u16(high) * 2 ** 16 : 0)
    const place = (low: number, high: number, blocks: number) => {
      const block = bytes.readUInt32LE(low) + (sb.features.bits64 ? bytes.readUInt32LE(high) * 2 ** 32 : 0)
      if (block <= sb.firstBlock || block + blocks > sb.blocks) {
        throw new Refused('group-places', 'a group has its tables outside the file system')
      }
      return block
    }
    const flags = sb.features.groupCsum ? u16(0x12) : 0
    return {
      blockBitmap: place(0, 0x20, 1),
      inodeBitmap: place(4, 0x24, 1),
      inodeTable: place(8, 0x28, inodeTableBlocks(sb)),
      freeClusters: wide16(0xc, 0x2c),
      freeInodes: wide16(0xe, 0x2e),
      blocksUnused: (flags & BLOCKS_UNUSED) !== 0,
      inodesUnused: (flags & INODES_UNUSED) !== 0,
      inodesNeverUsed: sb.features.groupCsum ? wide16(0x1c, 0x32) : 0,
      inodesZeroed: !sb.features.groupCsum || (flags & 4) !== 0,
      blockBitmapChecksum: wide16(0x18, 0x38),
      inodeBitmapChecksum: wide16(0x1a, 0x3a)
    }
  }
}

export const inodeTableBlocks = ({ groupInodes, inodeBytes, blockBytes }: Superblock): number =>
  Math.ceil((groupInodes * inodeBytes) / blockBytes)

/** Throws Refused unless a bitmap is what its descriptor says. Descriptors of 32 bytes have room for half of a checksum. */
export function checkBitmap(sb: Superblock, bitmap: Uint8Array, stated: number): void {
  if (!sb.features.metadataCsum) return
  const checksum = ext4Crc(sb.seed, bitmap)
  if ((sb.features.bits64 ? checksum : checksum & 0xffff) !== stated) {
    throw new Refused('checksum', "a bitmap's checksum is wrong")
  }
}

function checksumOf(sb: Superblock, index: number, bytes: Buffer): number {
  const [head, tail] = [bytes.subarray(0, CHECKSUM_AT), bytes.subarray(CHECKSUM_AT + 2)]
  if (sb.features.metadataCsum) return ext4Crc(sb.seed, le32(index), head, Buffer.alloc(2), tail) & 0xffff
  return crc16(sb.uuid, le32(index), head, tail)
}
