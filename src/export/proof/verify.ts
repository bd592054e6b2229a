import type { Destination, UploadTarget } from '../../destinations/destination.ts'
import type { Disk } from '../../disks/disk.ts'
import { isPermanent } from '../../domain/errors.ts'
import { VerifyFailed, VerifyImpossible } from '../../domain/export-errors.ts'
import type { Checksum, VerifyLevel } from '../../domain/export-options.ts'
import type { SentFile, Verified, Warning } from '../../domain/task.ts'
import type { Layout } from '../../formats/format.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { SampledRange } from '../../pipeline/range-sample.ts'
import { isOurs } from '../checks/collision.ts'
import { compareRanges, rangesAgain, sampleOf } from './compare-ranges.ts'
import { compareWhole, type Digests } from './compare-whole.ts'

/** What there is to compare the object with. */
export type Original = {
  readonly sent: SentFile
  /** Digests that were asked for besides SHA-256. */
  readonly checksums: readonly Checksum[]
  readonly disk: Disk
  /** Undefined for what was compressed on the way: its ranges cannot be made again on their own. */
  readonly layout: Layout | undefined
  /** What was kept of it instead; undefined where another attempt has sent it. */
  readonly sample?: readonly SampledRange[] | undefined
  /** The object stood there before, so its marks may be another export's. */
  readonly anybodys?: boolean
}

export type Verdict = {
  readonly verify: Verified
  /** Of the whole object, where it was read back whole; lower-case hex. */
  readonly digests?: Digests
  readonly warnings: readonly Warning[]
}

/**
 * Asks the destination for what was written and compares it with what was sent.
 * @throws VerifyFailed when it differs; VerifyImpossible when it may not be read and `level` needs it;
 *   DestinationError when it cannot be read now
 */
export async function verifyObject(
  destination: Destination,
  target: UploadTarget,
  original: Original,
  level: VerifyLevel,
  engine: Engine,
  signal: AbortSignal
): Promise<Verdict> {
  const { sent, disk, layout, sample } = original
  if (level === 'none') return verdict('none', true, 0, ...(sent.unproved ? [NOT_PROVED] : []))
  const looked = await compareFacts(destination, target, original, signal)
  if (level === 'etag' && !looked) return verdict('etag', false, 0, sent.unproved ? NOT_PROVED : NOT_LOOKED)
  if (level === 'etag' && !sent.unproved) return verdict('etag', true, 0)
  const ranges = layout
    ? rangesAgain({ disk, layout }, sampleOf(sent.bytes, target.marks.exportId), engine.buffers, signal)
    : sample
  if (level === 'ranges' && ranges && !sent.unproved) {
    return verdict('ranges', true, await readable(signal, () => compareRanges(destination, target, ranges, signal)))
  }
  try {
    const digests = await readable(signal, () => compareWhole(destination, target, sent, original.checksums, signal))
    const warnings = level === 'full' ? [] : [sent.unproved ? READ_TO_PROVE : READ_WHOLE]
    return { verify: { level: 'full', ok: true, rangesRead: 1 }, digests, warnings }
  } catch (error) {
    // Nobody has asked for the bytes to be read.
    if (level === 'etag' && error instanceof VerifyImpossible) return verdict('etag', false, 0, NOT_PROVED)
    throw error
  }
}

const verdict = (level: VerifyLevel, ok: boolean, rangesRead: number, ...warnings: Warning[]): Verdict => ({
  verify: { level, ok, rangesRead },
  warnings
})

const NOT_LOOKED: Warning = {
  code: 'VERIFY_NOT_POSSIBLE',
  message: 'These credentials may not look at the object, so only the answers to its upload speak for it.'
}
const READ_WHOLE: Warning = {
  code: 'VERIFY_READ_WHOLE',
  message:
    'Another worker has sent this compressed file and kept nothing to compare, so the whole object was read back.'
}

const READ_TO_PROVE: Warning = {
  code: 'VERIFY_READ_WHOLE',
  message: 'The answers of the destination do not show which bytes it has, so the whole object was read back.'
}
const NOT_PROVED: Warning = {
  code: 'INTEGRITY_NOT_PROVED',
  message:
    'The answers of the destination do not show which bytes it has, and they were not read back: compare the object with its SHA-256.'
}

/** False when the destination does not let us look. */
async function compareFacts(
  destination: Destination,
  target: UploadTarget,
  { sent, anybodys = false }: Original,
  signal: AbortSignal
): Promise<boolean> {
  const found = await destination.find(target, signal)
  if (found.status === 'unreadable') return false
  if (found.status === 'absent') throw new VerifyFailed('is not there')
  if (found.length !== undefined && found.length !== sent.bytes) {
    throw new VerifyFailed(`has ${found.length} bytes where ${sent.bytes} were sent`)
  }
  if (!anybodys && found.exportId !== undefined && !isOurs(found, target))
    throw new VerifyFailed('is not the one that was sent')
  return true
}

/** A refusal to be read is the user's to mend; all else may pass. */
async function readable<T>(signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    signal.throwIfAborted()
    if (isPermanent(cause)) throw new VerifyImpossible({ cause })
    throw cause
  }
}
