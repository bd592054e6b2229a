import type { ByteRanges } from '../byte-ranges.ts'
import type { Volume } from '../volume.ts'

/** What of a volume its file system does not use. */
export type Unused = {
  /** In bytes of the volume, below `length`. */
  readonly ranges: ByteRanges
  /** Those of them that a file has, and has never written to. */
  readonly unwritten?: ByteRanges
  /** Pieces of blocks that are in use, but hold nothing of anybody's there: what follows the end of a file, deleted inodes. */
  readonly remains: ByteRanges
  /** Bytes of the volume that the file system takes; what follows in its partition belongs to nobody. */
  readonly length: number
}

/**
 * One file system whose free space can be told.
 *
 * `matches` looks for the file system's mark, and no more than what makes the mark certain. `unused` believes nothing that
 * it has not checked: it throws Refused, with the rule that was broken, unless every byte it calls unused is one that no
 * file, folder or table needs. It reads metadata only, writes nothing, and its memory is bounded.
 * Adding one: one file or folder here, one line in registry.ts.
 */
export interface FileSystemReader {
  readonly name: string
  matches(volume: Volume): Promise<boolean>
  unused(volume: Volume): Promise<Unused>
}
