import type { AllocationMap, UnitRuns } from './allocation-map.ts'
import type { FormatFacts } from './format.ts'

/** How one unit of the disk is compressed, on its own. `deflate` is bare (RFC 1951), `zlib` has its frame (RFC 1950). */
export type Codec =
  | { readonly name: 'deflate' | 'zlib'; readonly level: number; readonly windowBits: number }
  | { readonly name: 'zstd'; readonly level: number }

/** What stands around one unit in the file: bytes before it, and zeros after it. */
export type Frame = { readonly before: Uint8Array; readonly zerosAfter: number }

/** SHA-256, as lower-case hex, of everything after the head so far with `more` behind it; asked where `tailHoldsDigest`. */
export type BodyDigest = (more: readonly Uint8Array[]) => string

/**
 * Decides where packed units go, by their lengths alone: it never sees a byte of the disk. So a first pass can tell the whole
 * file's length, and a second one makes the same file.
 *
 * Promises: `add` is called once for every unit that holds data, in order, with `packedBytes` 0 for one that is all zeros (it
 * takes no place in the file). Then `tail` once, then `head`, whose bytes are exactly `Packing.headBytes` long and the same every
 * time.
 */
export interface Packer {
  /** @param packedBytes `Packing.unitBytes` says that the unit is stored as it is, where `storesUnpacked` */
  add(unit: number, packedBytes: number): Frame
  /** What follows the last unit. */
  tail(digest: BodyDigest): Iterable<Uint8Array>
  head(): Iterable<Uint8Array>
}

/** The plan of a file whose data is compressed: head | units in the disk's order | tail. */
export interface Packing {
  readonly codec: Codec
  readonly units: UnitRuns
  /** Whether a unit that does not shrink may stand in the file as it is. */
  readonly storesUnpacked: boolean
  /** Whether the tail states the digest of what stands before it. */
  readonly tailHoldsDigest: boolean
  /** Length of what stands before the units. Its content is known when all else is; 0 lets the file go out front to back. */
  readonly headBytes: number
  /** The file is never longer than this. */
  readonly maxLength: number
  start(): Packer
}

/** A format that compresses. `packing` is as pure as `Format.layout`, and throws as it does. */
export interface PackedFormat extends FormatFacts {
  packing(map: AllocationMap): Packing
}

/** Units of data one by one, in the disk's order. */
export function* eachUnit({ starts, counts }: UnitRuns): Generator<number> {
  for (const [run, start] of starts.entries()) {
    const end = start + (counts[run] ?? 0)
    for (let unit = start; unit < end; unit++) yield unit
  }
}
