import { broken } from './volume.ts'

const MODE = { kind: 0o170000, folder: 0o040000, file: 0o100000 } as const
const FORMAT = { device: 0, local: 1, extents: 2, tree: 3 } as const
const EXTENT_BYTES = 16
const MANY_EXTENTS = 16n
const ON_REAL_TIME_DEVICE = 1

/** One of the two parts of what is in an inode behind its head: where the data is, and the attributes. */
export type Fork = {
  readonly bytes: Buffer
  readonly format: number
  /** Those in `bytes`, where that is what the format says. */
  readonly extents: number
}

export type Inode = {
  readonly kind: 'folder' | 'file' | 'other'
  /** Of its content, in bytes. */
  readonly size: number
  readonly data: Fork
  readonly attributes: Fork | undefined
}

/** Where what is in an inode begins, behind the head. @throws Refused */
export function contentAt(bytes: Buffer): number {
  if (bytes.toString('latin1', 0, 2) !== 'IN') throw broken()
  return bytes.readUInt8(4) >= 3 ? 176 : 100
}

/**
 * An inode that is in use. Its forks are parts of `bytes`.
 * @throws Refused
 * @see https://www.kernel.org/pub/linux/utils/fs/xfs/docs/xfs_filesystem_structure.pdf, "On-disk Inode"
 */
export function readInode(bytes: Buffer): Inode {
  const content = bytes.subarray(contentAt(bytes))
  const mode = bytes.readUInt16BE(2) & MODE.kind
  const split = bytes.readUInt8(82) * 8
  if (mode === 0 || split >= content.length) throw broken()
  const hasMany = bytes.readUInt8(4) >= 3 && (bytes.readBigUInt64BE(120) & MANY_EXTENTS) !== 0n
  const isElsewhere = (bytes.readUInt16BE(90) & ON_REAL_TIME_DEVICE) !== 0
  return {
    kind: isElsewhere ? 'other' : kindOf(mode),
    size: Number(bytes.readBigUInt64BE(56)),
    data: {
      bytes: split === 0 ? content : content.subarray(0, split),
      format: bytes.readUInt8(5),
      extents: hasMany ? Number(bytes.readBigUInt64BE(24)) : bytes.readUInt32BE(76)
    },
    attributes:
      split === 0
        ? undefined
        : {
            bytes: content.subarray(split),
            format: bytes.readUInt8(83),
            extents: hasMany ? bytes.readUInt32BE(76) : bytes.readUInt16BE(80)
          }
  }
}

const kindOf = (mode: number): Inode['kind'] =>
  mode === MODE.folder ? 'folder' : mode === MODE.file ? 'file' : 'other'

/** Makes zeros of what an inode does not use of itself: names and targets stood there. @throws Refused */
export function clearUnused({ size, data, attributes }: Inode): void {
  clearFork(data, size)
  // The length of attributes that lie here stands before them.
  if (attributes) clearFork(attributes, attributes.bytes.readUInt16BE(0))
}

function clearFork(fork: Fork, localBytes: number): void {
  const { bytes, format, extents } = fork
  if (format === FORMAT.tree) {
    const { records, pointersAt } = treeRoot(fork)
    bytes.fill(0, 4 + records * 8, pointersAt)
    bytes.fill(0, pointersAt + records * 8)
    return
  }
  const used = { [FORMAT.device]: 4, [FORMAT.local]: localBytes, [FORMAT.extents]: extents * EXTENT_BYTES }[format]
  if (used === undefined || used > bytes.length) throw broken()
  bytes.fill(0, used)
}

/** The records that lie in the inode; undefined where they lie in a tree. @throws Refused */
export function extentRecords({ bytes, format, extents }: Fork): Buffer | undefined {
  if (format === FORMAT.tree) return undefined
  if (format !== FORMAT.extents) return Buffer.alloc(0)
  if (extents * EXTENT_BYTES > bytes.length) throw broken()
  return bytes.subarray(0, extents * EXTENT_BYTES)
}

/** @throws Refused */
export function treeRoot({ bytes }: Fork) {
  const most = Math.floor((bytes.length - 4) / EXTENT_BYTES)
  const level = bytes.readUInt16BE(0)
  const records = bytes.readUInt16BE(2)
  if (level === 0 || records === 0 || records > most) throw broken()
  const pointersAt = 4 + most * 8
  return { level, records, pointersAt, first: bytes.readBigUInt64BE(pointersAt) }
}
