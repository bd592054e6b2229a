/** A run of a disk. Offsets and lengths are bytes of the guest's disk. `data: false` means it reads as zeros. */
export type Extent = { readonly offset: number; readonly length: number; readonly data: boolean }

/** A run of bytes. */
export type Range = { readonly offset: number; readonly length: number }

/**
 * The content of an image as a block device: the one interface between reading and writing.
 *
 * Promises:
 * - `virtualSize` is bytes, a multiple of 512, above 0, and never changes.
 * - `extents()` yields ordered, non-empty, contiguous extents that cover exactly [0, virtualSize). It may be called again
 *   and answers the same. It reads metadata only, never the data.
 * - `read` fills all of `target` from `offset`, or throws; it may be called many times at once, in any order. Whatever
 *   `extents()` calls zero is filled with zeros without touching the source. A range past `virtualSize` is a RangeError.
 * - Whoever opened a disk disposes of it; disposing closes the file below it too.
 *
 * Throws ImageUnsafe where the image turns out to be broken, SourceReadFailed where its bytes cannot be had.
 */
export interface Disk extends AsyncDisposable {
  readonly virtualSize: number
  extents(): AsyncIterable<Extent>
  read(target: Uint8Array, offset: number): Promise<void>
}

/**
 * An image's file, wherever it lies, read at any position.
 *
 * `read` fills all of `target` from `offset` or throws SourceReadFailed; reading past `size` is a RangeError.
 * `dataRanges`, where the store knows them, are ordered and apart; every byte outside them is zero.
 */
export interface RandomAccess extends AsyncDisposable {
  readonly size: number
  readonly dataRanges?: readonly Range[]
  read(target: Uint8Array, offset: number): Promise<void>
}

/** The operator's limits on what may be opened at all. */
export type DiskLimits = {
  /** Bytes of the guest's disk. */
  readonly maxVirtualSize: number
}

/**
 * One disk format that can be read.
 *
 * `open` checks every field it will rely on against the real length of the file before it answers, and throws ImageUnsafe
 * with the rule that was broken; it never follows a name that stands in the image. It owns `file` once it has answered.
 * Adding a format: one file or folder here, one line in registry.ts, one call of the disk contract suite.
 */
export interface DiskReader {
  /** Glance's `disk_format`. */
  readonly name: string
  open(file: RandomAccess, limits: DiskLimits): Promise<Disk>
}
