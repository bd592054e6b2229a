import type { Disk } from '../disks/disk.ts'
import { MiB } from '../domain/bytes.ts'
import { eachUnit, type Packing } from '../formats/packing.ts'
import type { Compressors } from './compressors.ts'
import { inOrder } from './in-order.ts'

/** Units of the disk in order, packed: `bytes` holds them one after another, `lengths` says where each ends (0: all zeros). */
export type PackedBatch = {
  readonly units: readonly number[]
  /** The units as they were read. */
  readonly plain: Uint8Array
  readonly lengths: Uint32Array
  readonly bytes: Uint8Array
  /** Gives the buffers back; `plain` and `bytes` may not be used any more. */
  release(): void
}

const BATCH_BYTES = MiB
/** Room for what cannot be compressed: deflate adds 5 bytes to every 16 KiB and a frame. */
const SLACK_BYTES = 64 * 1024

/**
 * Reads the units of a packing and compresses them on all threads, in order. A fixed number of batches is under way, whatever
 * the image's size. When it returns nothing is under way any more.
 */
export async function* packUnits(
  source: { readonly packing: Packing; readonly disk: Disk },
  compressors: Compressors,
  signal: AbortSignal
): AsyncGenerator<PackedBatch> {
  const { packing, disk } = source
  const { unitBytes } = packing.units
  const unitsPerBatch = Math.max(1, Math.floor(BATCH_BYTES / unitBytes))
  const free: { input: ArrayBuffer; output: ArrayBuffer }[] = []

  const pack = async (units: readonly number[]): Promise<PackedBatch> => {
    const buffers = free.pop() ?? {
      input: new ArrayBuffer(unitsPerBatch * unitBytes),
      output: new ArrayBuffer(unitsPerBatch * unitBytes + SLACK_BYTES)
    }
    await readUnits(disk, units, unitBytes, new Uint8Array(buffers.input))
    const packed = await compressors.compress({
      ...buffers,
      units: units.length,
      unitBytes,
      codec: packing.codec,
      storesUnpacked: packing.storesUnpacked
    })
    return {
      units,
      plain: new Uint8Array(packed.input, 0, units.length * unitBytes),
      lengths: packed.lengths,
      bytes: new Uint8Array(packed.output),
      release: () => free.push({ input: packed.input, output: packed.output })
    }
  }

  // One more than there are threads to be read meanwhile, and one that waits for its turn to be sent.
  yield* inOrder(batchesOf(packing, unitsPerBatch), compressors.threads + 2, pack, signal)
}

function* batchesOf({ units }: Packing, size: number): Generator<number[]> {
  let batch: number[] = []
  for (const unit of eachUnit(units)) {
    if (batch.push(unit) < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** Neighbours are read with one call. Past the disk's end there are zeros. */
async function readUnits(disk: Disk, units: readonly number[], unitBytes: number, into: Uint8Array): Promise<void> {
  const reads: Promise<void>[] = []
  for (let from = 0; from < units.length; ) {
    let to = from + 1
    while (to < units.length && units[to] === (units[to - 1] ?? 0) + 1) to++
    const offset = (units[from] ?? 0) * unitBytes
    const length = Math.min((to - from) * unitBytes, disk.virtualSize - offset)
    const target = into.subarray(from * unitBytes, to * unitBytes)
    target.fill(0, length)
    reads.push(disk.read(target.subarray(0, length), offset))
    from = to
  }
  const results = await Promise.allSettled(reads)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
