import type { Disk } from '../../src/disks/disk.ts'

export type Run = { readonly offset: number; readonly length: number }

/** A disk whose data is a pattern that depends on nothing but the offset, so that a misplaced byte shows; zeros between runs. */
export function memoryDisk(virtualSize: number, runs: readonly Run[]): Disk & { readonly reads: Run[] } {
  const reads: Run[] = []
  return {
    virtualSize,
    reads,
    async *extents() {
      let at = 0
      for (const { offset, length } of runs) {
        if (offset > at) yield { offset: at, length: offset - at, data: false }
        yield { offset, length, data: true }
        at = offset + length
      }
      if (at < virtualSize) yield { offset: at, length: virtualSize - at, data: false }
    },
    async read(target, offset) {
      if (offset < 0 || offset + target.length > virtualSize) throw new RangeError('read past the end of the disk')
      reads.push({ offset, length: target.length })
      target.fill(0)
      for (const run of runs) {
        const from = Math.max(offset, run.offset)
        const to = Math.min(offset + target.length, run.offset + run.length)
        for (let at = from; at < to; at++) target[at - offset] = patternAt(at)
      }
    },
    async [Symbol.asyncDispose]() {}
  }
}

/** Never zero, and different in neighbouring bytes, sectors and clusters. */
const patternAt = (offset: number): number => 1 + ((offset * 31 + Math.floor(offset / 512) * 7) % 255)
