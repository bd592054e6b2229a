import type { AllocationMap } from './allocation-map.ts'

/**
 * A piece of the file to be written: literal bytes (headers and tables), a range of the guest's disk, or zeros.
 * `offset` is bytes of the disk; `length` is bytes of the file and of the disk alike.
 */
export type Segment =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'disk'; readonly offset: number; readonly length: number }
  | { readonly kind: 'zero'; readonly length: number }

/**
 * The plan of one file: what every byte of it is, known before the first byte is read.
 *
 * Promises: `segments(from, to)` yields non-empty segments whose lengths add up to exactly `to - from`, in file order, the
 * same every time, for any 0 <= from <= to <= length; the pieces of adjacent ranges joined are the pieces of the whole.
 * Metadata is made for the range that is asked for and not kept: memory does not grow with the disk.
 */
export interface Layout {
  readonly length: number
  segments(from: number, to: number): Iterable<Segment>
}

/** What there is to know of a format, however it makes its files. */
export type FormatFacts = {
  /** The `export_format` of the request. */
  readonly name: string
  /** Of the file, without the dot. */
  readonly extension: string
  readonly mediaType: string
  /** True when the file is the bare disk, so that bytes chosen by the guest stand where a header would. */
  readonly bare: boolean
}

/**
 * One disk format that can be written. `layout` is a pure function: no I/O, no clock, no chance, so that any worker makes
 * the same bytes. Throws FormatLimitExceeded when the format cannot hold a disk of this size.
 * Adding a format: one file here, one line in registry.ts, one call of the format contract suite.
 */
export interface Format extends FormatFacts {
  layout(map: AllocationMap): Layout
}
