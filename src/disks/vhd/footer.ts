import { ImageUnsafe } from '../../domain/errors.ts'
import { readBytes } from '../blocks/block-disk.ts'
import { checkVirtualSize } from '../bounds.ts'
import type { DiskLimits, RandomAccess } from '../disk.ts'
import { checksum } from './checksum.ts'

/** The footer's fields, checked. */
export type Footer = {
  readonly type: 'fixed' | 'dynamic'
  readonly virtualSize: number
  /** Where a dynamic disk has its second header; not checked yet. */
  readonly headerOffset: bigint
}

export const FOOTER_BYTES = 512
const MAGIC = 'conectix'
const FIXED = 2
const DYNAMIC = 3
const DIFFERENCING = 4
/** Their guests see as many sectors as the geometry has; all others go by the size. */
const CREATORS_BY_GEOMETRY = ['vpc ', 'qemu']
/** The largest geometry there is: whoever writes it means the size. */
const LARGEST_GEOMETRY = 65_535 * 16 * 255

/**
 * Reads the last 512 bytes of a VHD, and their copy in front of a dynamic one.
 * Throws ImageUnsafe; so it does for Virtual PC's footers of before 2004, which have 511 bytes.
 * @see https://learn.microsoft.com/en-us/windows/win32/vstor/about-vhd (the Image Format Specification, "Hard Disk Footer")
 */
export async function readFooter(file: RandomAccess, limits: DiskLimits): Promise<Footer> {
  if (file.size < FOOTER_BYTES) throw new ImageUnsafe('truncated', 'its file is shorter than a footer')
  const footer = await readBytes(file, file.size - FOOTER_BYTES, FOOTER_BYTES)
  if (!hasMagic(footer)) throw new ImageUnsafe('footer', 'its file does not end in a footer of 512 bytes')
  if (footer.readUInt32BE(64) !== checksum(footer, 64)) {
    throw new ImageUnsafe('footer_checksum', 'the checksum of its footer is wrong')
  }
  if (footer.readUInt16BE(12) !== 1) throw new ImageUnsafe('version', 'its VHD version is not 1')
  const type = typeOf(footer.readUInt32BE(60))
  const head = await readBytes(file, 0, FOOTER_BYTES)
  if (type === 'dynamic' ? !head.equals(footer) : hasMagic(head)) {
    throw new ImageUnsafe('footer_copy', 'its first 512 bytes contradict its footer')
  }
  const virtualSize = checkVirtualSize(Number(sectorsOf(footer)) * 512, limits)
  return { type, virtualSize, headerOffset: footer.readBigUInt64BE(16) }
}

const hasMagic = (bytes: Buffer): boolean => bytes.toString('latin1', 0, MAGIC.length) === MAGIC

function typeOf(type: number): Footer['type'] {
  if (type === FIXED) return 'fixed'
  if (type === DYNAMIC) return 'dynamic'
  if (type === DIFFERENCING) throw new ImageUnsafe('backing_file', 'it holds the differences to another disk only')
  throw new ImageUnsafe('disk_type', 'its disk is neither fixed nor dynamic')
}

/** As qemu 10 does it (block/vpc.c): both would otherwise read disks of different lengths from one file. */
function sectorsOf(footer: Buffer): bigint {
  const size = footer.readBigUInt64BE(48) / 512n
  const geometry = footer.readUInt16BE(56) * footer.readUInt8(58) * footer.readUInt8(59)
  const byGeometry = CREATORS_BY_GEOMETRY.includes(footer.toString('latin1', 28, 32)) && geometry !== LARGEST_GEOMETRY
  return byGeometry && size > 0n ? BigInt(geometry) : size
}
