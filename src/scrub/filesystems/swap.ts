import { KiB } from '../../domain/bytes.ts'
import { ByteRanges } from '../byte-ranges.ts'
import { Refused } from '../refused.ts'
import type { Volume } from '../volume.ts'
import type { FileSystemReader } from './file-system.ts'

const PAGE_SIZES = [4, 8, 16, 32, 64].map((size) => size * KiB)
const MARK = 'SWAPSPACE2'
/** What hibernation puts in place of the mark: the memory of the guest lies there and it will want it back. */
const HIBERNATED = ['S1SUSPEND', 'S2SUSPEND', 'ULSUSPEND', 'LINHIB0001']

/**
 * Linux swap areas. The first page stays, so that the guest still finds the area by its label or UUID.
 * @see mkswap(8), and union swap_header in include/linux/swap.h
 */
export const swap: FileSystemReader = {
  name: 'swap',

  async matches(volume) {
    return (await swapMarkIn(volume)) !== undefined
  },

  async unused(volume) {
    const found = await swapMarkIn(volume)
    if (!found || found.suspended) throw hibernated()
    const header = await volume.read(KiB, 12)
    const length = (header.readUInt32LE(4) + 1) * found.pageBytes
    if (header.readUInt32LE(0) !== 1) throw new Refused('revision', 'its version is not known here')
    if (length <= found.pageBytes || length > volume.length)
      throw new Refused('size', 'it is larger than its partition')
    const ranges = new ByteRanges(Float64Array.of(found.pageBytes), Float64Array.of(length))
    return { ranges, remains: new ByteRanges(new Float64Array(), new Float64Array()), length }
  }
}

/** The longest first page there is, in bytes. */
export const SWAP_HEAD_BYTES = Math.max(...PAGE_SIZES)

/** The mark ends the first page, whose size is that of the guest's machine. @param head of the area */
export function swapMark(head: Buffer): { readonly suspended: boolean; readonly pageBytes: number } | undefined {
  for (const pageBytes of PAGE_SIZES.filter((size) => size <= head.length)) {
    const bytes = head.toString('latin1', pageBytes - 10, pageBytes)
    const mark = [MARK, ...HIBERNATED].find((text) => bytes.startsWith(text))
    if (mark) return { suspended: mark !== MARK, pageBytes }
  }
  return undefined
}

/** A guest whose files were changed must not wake up with a memory of what they were. */
export const hibernated = (): Refused => new Refused('hibernated', 'it holds the memory of a guest that is suspended')

/** What a volume is, if it is a swap area. */
export const swapMarkIn = async (volume: Volume) =>
  swapMark(await volume.read(0, Math.min(SWAP_HEAD_BYTES, volume.length)))
