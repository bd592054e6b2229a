import { checkRange } from '../bounds.ts'
import type { Disk, DiskReader, Extent, RandomAccess } from '../disk.ts'
import type { Allocated } from './allocated.ts'
import { type Header, readHeader } from './header.ts'
import { inflateCluster } from './inflate.ts'
import { type Cluster, clusterOf } from './l2-entry.ts'
import { Recent } from './recent.ts'
import { type Scanned, scanTables } from './scan.ts'

/** L2 tables are kept in slices of at most this, or one table of 2 MiB would be all that is kept. */
const SLICE_BYTES = 64 * 1024
const KEPT_SLICES_BYTES = 2 * 1024 * 1024
/** Enough for readers that go through a disk side by side in steps below a cluster. */
const KEPT_INFLATED = 4
/** Reads of the file, or decompressions, that one `read` has under way. Node's thread pool has four threads. */
const PIECES_AT_ONCE = 4

/** Copy-on-write disks of QEMU, versions 2 and 3: the active layer of files that need no other file. */
export const qcow2: DiskReader = {
  name: 'qcow2',
  async open(file, limits) {
    const header = await readHeader(file, limits)
    return new Qcow2Disk(file, header, await scanTables(file, header))
  }
}

/** A range of the disk that is filled in one step. `cluster` is its first, of which it leaves out `skip` bytes. */
type Piece = { readonly cluster: Cluster; readonly skip: number; readonly start: number; end: number }

class Qcow2Disk implements Disk {
  readonly virtualSize: number
  readonly #file: RandomAccess
  readonly #header: Header
  readonly #l2Offsets: Float64Array
  readonly #allocated: Allocated
  readonly #slices: Recent<Buffer>
  readonly #inflated = new Recent<Buffer>(KEPT_INFLATED)

  constructor(file: RandomAccess, header: Header, scanned: Scanned) {
    this.#file = file
    this.#header = header
    this.virtualSize = header.virtualSize
    this.#l2Offsets = scanned.l2Offsets
    this.#allocated = scanned.allocated
    this.#slices = new Recent(KEPT_SLICES_BYTES / Math.min(SLICE_BYTES, header.clusterBytes))
  }

  async *extents(): AsyncGenerator<Extent> {
    const { clusterBytes } = this.#header
    const end = Math.ceil(this.virtualSize / clusterBytes)
    for (let first = 0; first < end; ) {
      const count = this.#allocated.runLength(first, end)
      const offset = first * clusterBytes
      const length = Math.min(count * clusterBytes, this.virtualSize - offset)
      yield { offset, length, data: this.#allocated.has(first) }
      first += count
    }
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(target.length, offset, this.virtualSize)
    const pieces = await this.#pieces(offset, offset + target.length)
    await eachOf(pieces, (piece) => this.#fill(target.subarray(piece.start - offset, piece.end - offset), piece))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]()
  }

  /** The range in as few pieces as can be: zeros, and clusters that are neighbours in the file, are taken together. */
  async #pieces(from: number, to: number): Promise<Piece[]> {
    const { clusterBytes } = this.#header
    const lastCluster = Math.ceil(to / clusterBytes)
    const pieces: Piece[] = []
    for (let start = from; start < to; ) {
      const guestCluster = Math.floor(start / clusterBytes)
      const zeros = this.#allocated.has(guestCluster) ? 0 : this.#allocated.runLength(guestCluster, lastCluster)
      const end = Math.min(to, (guestCluster + (zeros || 1)) * clusterBytes)
      const cluster = zeros > 0 ? ZERO : await this.#cluster(guestCluster)
      const last = pieces.at(-1)
      if (last && continues(last, cluster)) last.end = end
      else pieces.push({ cluster, skip: start % clusterBytes, start, end })
      start = end
    }
    return pieces
  }

  /** Checked once more, for it decides where the file is read. */
  async #cluster(guestCluster: number): Promise<Cluster> {
    const { clusterBytes } = this.#header
    const tableEntries = clusterBytes / 8
    const table = this.#l2Offsets[Math.floor(guestCluster / tableEntries)] ?? 0
    const at = (guestCluster % tableEntries) * 8
    const sliceBytes = Math.min(SLICE_BYTES, clusterBytes)
    const offset = table + at - (at % sliceBytes)
    const slice = await this.#slices.get(offset, async () => readBytes(this.#file, offset, sliceBytes))
    const needed = Math.min(clusterBytes, this.virtualSize - guestCluster * clusterBytes)
    const inSlice = at % sliceBytes
    return clusterOf(slice.readUInt32BE(inSlice), slice.readUInt32BE(inSlice + 4), needed, this.#header)
  }

  async #fill(target: Uint8Array, { cluster, skip, start }: Piece): Promise<void> {
    if (cluster.kind === 'zero') target.fill(0)
    else if (cluster.kind === 'data') await this.#file.read(target, cluster.offset + skip)
    else {
      const { clusterBytes, compression } = this.#header
      const inflated = await this.#inflated.get(start - skip, async () =>
        inflateCluster(await readBytes(this.#file, cluster.offset, cluster.bytes), clusterBytes, compression)
      )
      target.set(inflated.subarray(skip, skip + target.length))
    }
  }
}

const ZERO: Cluster = { kind: 'zero' }

/** Whether the cluster that follows on the disk also follows in the file, or both are zeros. */
function continues(piece: Piece, next: Cluster): boolean {
  if (piece.cluster.kind === 'data' && next.kind === 'data') {
    return piece.cluster.offset + piece.skip + (piece.end - piece.start) === next.offset
  }
  return piece.cluster.kind === 'zero' && next.kind === 'zero'
}

async function readBytes(file: RandomAccess, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  await file.read(bytes, offset)
  return bytes
}

/**
 * Works on a few items at once. After a failure nothing more is begun, and it throws only when all that was under way has
 * ended: until then the caller's buffer may still be written to.
 */
async function eachOf<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  // The workers take from one generator; the one that fails closes it for all.
  const queue = (function* () {
    yield* items
  })()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  const ends = await Promise.allSettled(Array.from({ length: Math.min(PIECES_AT_ONCE, items.length) }, worker))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}
