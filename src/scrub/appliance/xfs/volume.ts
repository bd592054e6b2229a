import { isPowerOfTwo } from '../../../domain/bytes.ts'
import { Refused } from '../../refused.ts'
import type { DeviceDisk } from '../device-disk.ts'

const MAX_GROUPS = 1_000_000
const MAX_BLOCK_BYTES = 65536
const MAX_INODE_BYTES = 2048
/** Of sb_features2 in version 4, of sb_features_incompat in version 5. */
const TYPES_IN_FOLDERS = { 4: 0x200, 5: 1 } as const
const SPARSE_INODES = 2

/** What it takes of a device. */
export type XfsDevice = Pick<DeviceDisk, 'virtualSize' | 'read' | 'write' | 'erase' | 'flush'>

/** What the superblock says; sizes in bytes. */
export type Geometry = {
  readonly blockBytes: number
  readonly sectorBytes: number
  readonly inodeBytes: number
  readonly folderBlockBytes: number
  readonly groups: number
  /** Of the device, which may be larger. */
  readonly length: number
  readonly groupBlocks: number
  /** Bits of a block's number in its group. */
  readonly groupBits: number
  /** Version 5: structures have checksums, and longer heads. */
  readonly hasSums: boolean
  /** Names in folders have the kind of file behind them. */
  readonly hasTypes: boolean
  readonly hasSparseInodes: boolean
}

/**
 * An xfs that its own tools have found sound, with nothing of it mounted. All that is read is in no other place too: where more
 * is read than there is, something goes round.
 * @see https://www.kernel.org/pub/linux/utils/fs/xfs/docs/xfs_filesystem_structure.pdf
 */
export class XfsVolume {
  readonly geometry: Geometry
  readonly device: XfsDevice
  readonly #signal: AbortSignal
  #left: number

  private constructor(device: XfsDevice, geometry: Geometry, signal: AbortSignal) {
    this.device = device
    this.geometry = geometry
    this.#signal = signal
    this.#left = device.virtualSize
  }

  /** @throws Refused */
  static async open(device: XfsDevice, signal: AbortSignal): Promise<XfsVolume> {
    const superblock = Buffer.alloc(512)
    await device.read(superblock, 0)
    return new XfsVolume(device, geometryOf(superblock), signal)
  }

  /** @throws Refused */
  async read(offset: number, length: number): Promise<Buffer> {
    this.#signal.throwIfAborted()
    this.#left -= length
    if (!(this.#left >= 0)) throw broken()
    this.#assertInside(offset, length)
    const bytes = Buffer.alloc(length)
    await this.device.read(bytes, offset)
    return bytes
  }

  /** @throws Refused */
  async erase(offset: number, length: number): Promise<void> {
    this.#signal.throwIfAborted()
    this.#assertInside(offset, length)
    await this.device.erase([{ offset, length }])
  }

  /** The byte where a block begins that is numbered in its group. */
  byteIn(group: number, block: number): number {
    return (group * this.geometry.groupBlocks + block) * this.geometry.blockBytes
  }

  /** The byte where a block begins that is numbered in the file system: its group stands in the upper bits. */
  byteOf(block: bigint): number {
    const { groupBits, groups, groupBlocks } = this.geometry
    const group = Number(block >> BigInt(groupBits))
    const inGroup = Number(BigInt.asUintN(groupBits, block))
    if (group >= groups || inGroup >= groupBlocks) throw broken()
    return this.byteIn(group, inGroup)
  }

  #assertInside(offset: number, length: number): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.device.virtualSize)) throw broken()
  }
}

/** For what its own tools should have found. */
export const broken = () => new Refused('xfs', 'a structure of its xfs cannot be')

function geometryOf(superblock: Buffer): Geometry {
  const version = superblock.readUInt16BE(100) & 0xf
  const features = superblock.readUInt32BE(version === 5 ? 216 : 200)
  const blockBytes = superblock.readUInt32BE(4)
  const geometry = {
    blockBytes,
    sectorBytes: superblock.readUInt16BE(102),
    inodeBytes: superblock.readUInt16BE(104),
    folderBlockBytes: blockBytes * 2 ** superblock.readUInt8(192),
    groups: superblock.readUInt32BE(88),
    length: Number(superblock.readBigUInt64BE(8)) * blockBytes,
    groupBlocks: superblock.readUInt32BE(84),
    groupBits: superblock.readUInt8(124),
    hasSums: version === 5,
    hasTypes: (features & TYPES_IN_FOLDERS[version === 5 ? 5 : 4]) !== 0,
    hasSparseInodes: version === 5 && (features & SPARSE_INODES) !== 0
  }
  const sound =
    superblock.toString('latin1', 0, 4) === 'XFSB' &&
    (version === 4 || version === 5) &&
    isSize(geometry.blockBytes, 512, MAX_BLOCK_BYTES) &&
    isSize(geometry.folderBlockBytes, blockBytes, MAX_BLOCK_BYTES) &&
    isSize(geometry.sectorBytes, 512, 32768) &&
    isSize(geometry.inodeBytes, 256, MAX_INODE_BYTES) &&
    geometry.groups <= MAX_GROUPS &&
    geometry.groupBits <= 32
  if (!sound) throw new Refused('xfs', 'its xfs is not of a kind that is known')
  return geometry
}

const isSize = (value: number, least: number, most: number): boolean =>
  value >= least && value <= most && isPowerOfTwo(value)
