import { lastNotAbove, type UnitRuns } from './allocation-map.ts'
import type { Layout, Segment } from './format.ts'

/** Bytes that are known now, such as a header. */
export function literal(bytes: Uint8Array): Layout {
  return {
    length: bytes.length,
    *segments(from, to) {
      if (from < to) yield { kind: 'bytes', bytes: bytes.subarray(from, to) }
    }
  }
}

/**
 * A table of equal blocks, each made when it is asked for.
 * @param blockBytes length of every block that `make` returns
 * @param blocks how many there are
 */
export function generated(blockBytes: number, blocks: number, make: (index: number) => Uint8Array): Layout {
  return {
    length: blockBytes * blocks,
    *segments(from, to) {
      for (let at = from; at < to; ) {
        const index = Math.floor(at / blockBytes)
        const start = index * blockBytes
        const end = Math.min(to, start + blockBytes)
        yield { kind: 'bytes', bytes: make(index).subarray(at - start, end - start) }
        at = end
      }
    }
  }
}

/** The disk's own bytes [from, to), with zeros past the disk's end: the last unit of a format may be larger than what is left. */
function* diskBytes(from: number, to: number, virtualSize: number): Generator<Segment> {
  const end = Math.min(to, virtualSize)
  if (from < end) yield { kind: 'disk', offset: from, length: end - from }
  const pad = to - Math.max(from, end)
  if (pad > 0) yield { kind: 'zero', length: pad }
}

/** Units that hold data, one after another, without those that do not. */
export function packedUnits(runs: UnitRuns, virtualSize: number): Layout {
  const { unitBytes, starts, counts, ranks, total } = runs
  return {
    length: total * unitBytes,
    *segments(from, to) {
      for (let at = from; at < to; ) {
        const run = lastNotAbove(ranks, Math.floor(at / unitBytes))
        const runStart = (ranks[run] ?? 0) * unitBytes
        const end = Math.min(to, runStart + (counts[run] ?? 0) * unitBytes)
        const onDisk = (starts[run] ?? 0) * unitBytes + (at - runStart)
        yield* diskBytes(onDisk, onDisk + (end - at), virtualSize)
        at = end
      }
    }
  }
}

/** The whole disk at its own offsets: data where there is data, zeros between. */
export function sparseDisk(runs: UnitRuns, virtualSize: number): Layout {
  const { unitBytes, starts, counts } = runs
  return {
    length: virtualSize,
    *segments(from, to) {
      let run = Math.max(0, lastNotAbove(starts, Math.floor(from / unitBytes)))
      for (let at = from; at < to; run++) {
        const start = run < starts.length ? (starts[run] ?? 0) * unitBytes : to
        const end = run < starts.length ? start + (counts[run] ?? 0) * unitBytes : to
        if (at < start) yield { kind: 'zero', length: Math.min(start, to) - at }
        at = Math.max(at, Math.min(start, to))
        if (at < Math.min(end, to)) yield* diskBytes(at, Math.min(end, to), virtualSize)
        at = Math.max(at, Math.min(end, to))
      }
    }
  }
}

/** Layouts one after another as one file. */
export function joined(...layouts: readonly Layout[]): Layout {
  const starts: number[] = []
  let length = 0
  for (const layout of layouts) {
    starts.push(length)
    length += layout.length
  }
  return {
    length,
    *segments(from, to) {
      for (const [i, layout] of layouts.entries()) {
        const start = starts[i] ?? 0
        const first = Math.max(from - start, 0)
        const last = Math.min(to - start, layout.length)
        if (first < last) yield* layout.segments(first, last)
      }
    }
  }
}
