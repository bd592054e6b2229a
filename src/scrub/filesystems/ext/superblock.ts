import { isPowerOfTwo, KiB, MiB } from '../../../domain/bytes.ts'
import { Refused } from '../../refused.ts'
import type { Volume } from '../../volume.ts'
import { ext4Crc, NO_SEED } from './checksums.ts'
import { checkFeatures, type Features } from './features.ts'

export const SUPERBLOCK_AT = 1024
export const SUPERBLOCK_BYTES = 1024
export const MAGIC_AT = 0x38
export const MAGIC = 0xef53

/** 8 TiB in groups of 8 MiB, 128 TiB in those of 128 MiB, which is what 1 KiB and 4 KiB blocks have. */
const MAX_GROUPS = 2 ** 20
/** They are kept in memory. */
const MAX_DESCRIPTORS_BYTES = 64 * MiB
const VALID = 1
const ERRORS = 2
const ORPHANS = 4
const LINUX = 0
const CRC32C = 1

/** The superblock's fields, checked against each other and the real size of the volume. Blocks and clusters are numbers of such. */
export type Superblock = {
  readonly features: Features
  readonly uuid: Buffer
  /** Of all checksums but the superblock's own. */
  readonly seed: number
  readonly blockBytes: number
  /** Blocks in one bit of the bitmaps: 1, or more with bigalloc. A power of two. */
  readonly clusterBlocks: number
  readonly blocks: number
  readonly freeBlocks: number
  /** The block that the first bit of the first bitmap stands for. */
  readonly firstBlock: number
  readonly groups: number
  readonly groupBlocks: number
  readonly groupInodes: number
  readonly freeInodes: number
  readonly inodeBytes: number
  /** Inodes below are the file system's own. */
  readonly firstInode: number
  readonly descriptorBytes: number
  /** Blocks after the descriptors, kept free for more of them. */
  readonly reservedDescriptorBlocks: number
  readonly firstMetaGroup: number
  /** Groups with a backup, with the feature sparse_super2. */
  readonly backupGroups: readonly [number, number]
  readonly mmpBlock: number
  /** Numbers of the inodes with the journal, 0 for one on another device, and with the list of deleted files that are open. */
  readonly journalInode: number
  readonly orphanInode: number
  /** Its name, which the guest chose; Latin-1. */
  readonly label: string
  readonly atRest: boolean
  /** When the guest last wrote it or mounted it, in seconds of 1970. */
  readonly writtenAt: number
}

/** Throws Refused for whatever is broken, not understood or not at rest. */
export async function readSuperblock(volume: Volume): Promise<Superblock> {
  const bytes = await volume.read(SUPERBLOCK_AT, SUPERBLOCK_BYTES)
  const sb = superblockOf(bytes, volume.length)
  const unrest = unrestOf(bytes, sb.features)
  if (unrest) throw unrest
  return sb
}

/** As readSuperblock, but the file system may be in use. */
export const readSuperblockInUse = async (volume: Volume): Promise<Superblock> =>
  superblockOf(await volume.read(SUPERBLOCK_AT, SUPERBLOCK_BYTES), volume.length)

/**
 * @param room bytes of its partition
 * @see https://docs.kernel.org/filesystems/ext4/super.html
 */
function superblockOf(bytes: Buffer, room: number): Superblock {
  const u32 = (at: number) => bytes.readUInt32LE(at)
  const revision = u32(0x4c)
  if (revision > 1) throw new Refused('revision', 'its revision is not known here')
  const features = revision === 0 ? checkFeatures(0, 0, 0) : checkFeatures(u32(0x5c), u32(0x60), u32(0x64))
  checkOwnChecksum(bytes, features)
  if (u32(0x48) !== LINUX) throw new Refused('creator', 'it was made for another system than Linux')

  const { blockBytes, clusterBlocks } = blockSizes(bytes, features)
  const wide = (low: number, high: number) => u32(low) + (features.bits64 ? u32(high) * 2 ** 32 : 0)
  const blocks = wide(0x4, 0x150)
  const firstBlock = blockBytes === KiB && clusterBlocks === 1 ? 1 : 0
  if (u32(0x14) !== firstBlock) throw new Refused('first-block', 'its first block is not where it must be')
  if (!(blocks > firstBlock) || blocks * blockBytes > room) {
    throw new Refused('size', 'it is larger than its partition')
  }
  const sizes = groupSizes(bytes, features, blockBytes, clusterBlocks)
  const groups = Math.ceil((blocks - firstBlock) / sizes.groupBlocks)
  if (groups > MAX_GROUPS || groups * sizes.descriptorBytes > MAX_DESCRIPTORS_BYTES) {
    throw new Refused('too-large', 'it has more groups than are read here')
  }
  if (u32(0) !== groups * sizes.groupInodes)
    throw new Refused('inode-count', 'its number of inodes contradicts its groups')
  if (features.metaBg && bytes.readUInt16LE(0xce) > 0) {
    throw new Refused('descriptor-places', 'it reserves blocks for descriptors that lie elsewhere')
  }
  const uuid = bytes.subarray(0x68, 0x78)
  return {
    features,
    uuid,
    seed: features.csumSeed ? u32(0x270) : ext4Crc(NO_SEED, uuid),
    blockBytes,
    clusterBlocks,
    blocks,
    freeBlocks: wide(0xc, 0x158),
    firstBlock,
    groups,
    ...sizes,
    freeInodes: u32(0x10),
    ...inodeSizes(bytes, revision, blockBytes),
    reservedDescriptorBlocks: bytes.readUInt16LE(0xce),
    firstMetaGroup: u32(0x104),
    backupGroups: [u32(0x24c), u32(0x250)],
    mmpBlock: features.mmp ? wide(0x168, 0x16c) : 0,
    journalInode: features.journal ? u32(0xe0) : 0,
    orphanInode: features.orphanFile ? u32(0x280) : 0,
    label: bytes.toString('latin1', 0x78, 0x88).replace(/\0.*$/s, ''),
    atRest: unrestOf(bytes, features) === undefined,
    writtenAt: Math.max(u32(0x2c), u32(0x30))
  }
}

function checkOwnChecksum(bytes: Buffer, { metadataCsum }: Features): void {
  if (!metadataCsum) return
  const intact = ext4Crc(NO_SEED, bytes.subarray(0, 0x3fc)) === bytes.readUInt32LE(0x3fc)
  if (bytes.readUInt8(0x175) !== CRC32C || !intact) throw new Refused('checksum', "its superblock's checksum is wrong")
}

/** Why it is not one that was unmounted, and in which no error was seen: only such a one can tell its free space. */
function unrestOf(bytes: Buffer, { needsReplay, orphansPresent }: Features): Refused | undefined {
  const state = bytes.readUInt16LE(0x3a)
  if (needsReplay) return new Refused('journal-to-replay', 'its journal holds changes to be replayed')
  if ((state & ERRORS) !== 0) return new Refused('errors', 'it is marked as having errors')
  if ((state & VALID) === 0) return new Refused('mounted', 'it was not unmounted')
  if (orphansPresent || (state & ORPHANS) !== 0 || bytes.readUInt32LE(0xe8) !== 0) {
    return new Refused('orphans', 'it has deleted files that are still open')
  }
  return undefined
}

function blockSizes(bytes: Buffer, { bigalloc }: Features) {
  const log = bytes.readUInt32LE(0x18)
  const clusterLog = bigalloc ? bytes.readUInt32LE(0x1c) : log
  if (log > 6) throw new Refused('block-size', 'its blocks are not 1 to 64 KiB')
  if (clusterLog < log || clusterLog > 19) throw new Refused('cluster-size', 'its clusters are impossible')
  return { blockBytes: KiB * 2 ** log, clusterBlocks: 2 ** (clusterLog - log) }
}

function groupSizes(bytes: Buffer, { bigalloc, bits64 }: Features, blockBytes: number, clusterBlocks: number) {
  const groupBlocks = bytes.readUInt32LE(0x20)
  const clusters = bigalloc ? bytes.readUInt32LE(0x24) : groupBlocks
  const groupInodes = bytes.readUInt32LE(0x28)
  const fits = (count: number) => count > 0 && count % 8 === 0 && count <= blockBytes * 8
  if (!fits(clusters) || !fits(groupInodes) || groupBlocks !== clusters * clusterBlocks) {
    throw new Refused('group-size', 'the size of its groups is impossible')
  }
  const descriptorBytes = bits64 ? bytes.readUInt16LE(0xfe) : 32
  if (descriptorBytes < (bits64 ? 64 : 32) || descriptorBytes > 1024 || !isPowerOfTwo(descriptorBytes)) {
    throw new Refused('descriptor-size', 'the size of its descriptors is impossible')
  }
  return { groupBlocks, groupInodes, descriptorBytes }
}

function inodeSizes(bytes: Buffer, revision: number, blockBytes: number) {
  const inodeBytes = revision === 0 ? 128 : bytes.readUInt16LE(0x58)
  const firstInode = revision === 0 ? 11 : bytes.readUInt32LE(0x54)
  if (inodeBytes < 128 || inodeBytes > blockBytes || !isPowerOfTwo(inodeBytes) || firstInode < 11) {
    throw new Refused('inode-size', 'the size of its inodes is impossible')
  }
  return { inodeBytes, firstInode }
}
