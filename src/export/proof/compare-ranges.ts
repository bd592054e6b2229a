import { createHash } from 'node:crypto'
import type { Destination, UploadTarget } from '../../destinations/destination.ts'
import type { Disk } from '../../disks/disk.ts'
import { VerifyFailed } from '../../domain/export-errors.ts'
import type { Layout } from '../../formats/format.ts'
import { BufferPool } from '../../pipeline/buffer-pool.ts'
import type { Buffers } from '../../pipeline/buffers.ts'
import { SAMPLE_BYTES, type SampledRange } from '../../pipeline/range-sample.ts'
import { readLayout } from '../../pipeline/read-layout.ts'

type Bytes = { readonly from: number; readonly to: number }

const RANGES = 32
/** As many as `readLayout` has under way, and one that is compared. */
const BUFFERS = 6

/** Reads these ranges of the object. @returns how many they were @throws VerifyFailed */
export async function compareRanges(
  destination: Destination,
  target: UploadTarget,
  ranges: AsyncIterable<SampledRange> | Iterable<SampledRange>,
  signal: AbortSignal
): Promise<number> {
  let compared = 0
  for await (const { sha256, ...range } of ranges) {
    const found = createHash('sha256')
    for await (const bytes of destination.read(target, range, signal)) found.update(bytes)
    if (found.digest('hex') !== sha256) {
      throw new VerifyFailed(`has other bytes than were sent between ${range.from} and ${range.to}`)
    }
    compared++
  }
  return compared
}

/** Ranges of a laid-out file, made again from the image. */
export async function* rangesAgain(
  source: { readonly disk: Disk; readonly layout: Layout },
  ranges: readonly Bytes[],
  buffers: Buffers,
  signal: AbortSignal
): AsyncGenerator<SampledRange> {
  using pool = new BufferPool(buffers, SAMPLE_BYTES, BUFFERS)
  for (const range of ranges) {
    const digest = createHash('sha256')
    for await (const { bytes, release } of readLayout(source, range, pool, signal)) {
      digest.update(bytes)
      release()
    }
    yield { ...range, sha256: digest.digest('hex') }
  }
}

/**
 * About 32 ranges of 64 KiB, in order and apart: the first, the last, and others chosen by `seed`; all of a small file. The
 * same for one task, so that a second look can be compared with the first.
 */
export function sampleOf(length: number, seed: string): Bytes[] {
  const blocks = Math.ceil(length / SAMPLE_BYTES)
  const chosen = new Set<number>(blocks <= RANGES ? Array(blocks).keys() : [0, blocks - 1])
  for (let i = 0; chosen.size < Math.min(RANGES, blocks); i++) {
    const random = createHash('sha256').update(`${seed}/${i}`).digest().readUIntBE(0, 6)
    chosen.add(random % blocks)
  }
  return [...chosen]
    .sort((a, b) => a - b)
    .map((block) => ({ from: block * SAMPLE_BYTES, to: Math.min(length, (block + 1) * SAMPLE_BYTES) }))
}
