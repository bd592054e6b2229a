import type { Checksum } from '../domain/export-options.ts'
import type { SentFile } from '../domain/task.ts'
import type { SampledRange } from './range-sample.ts'

/** What is to be learnt of a file while it is made, besides what costs nothing. */
export type Wants = {
  /** Digests of the whole file. When there are any, SHA-256 among them, a second pass over the disk is made where it takes one. */
  readonly digests: readonly Checksum[]
  /** Of the disk, see content-hash.ts. */
  readonly contentHash: boolean
  /** Chooses the ranges of a compressed file whose digests are kept; absent when none are. */
  readonly sample?: string
}

/** What was sent, and a sample of it where one was asked for that cannot be made again. */
export type Transferred = SentFile & { readonly sample?: readonly SampledRange[] }
