import { createCipheriv } from 'node:crypto'
import { memoryDisk, type Run } from './memory-disk.ts'

export type MixedRun = Run & { readonly kind: 'text' | 'noise' | 'zeros' | 'mixed' }

const BLOCK = 512
/** 1 MiB that does not compress, the same every time. */
const NOISE = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(1 << 20))

/** A disk whose runs are of a kind that compresses well, or not at all, or holds nothing; the same bytes every time. */
export function mixedDisk(virtualSize: number, runs: readonly MixedRun[]) {
  const disk = memoryDisk(virtualSize, runs)
  return {
    ...disk,
    async read(target: Uint8Array, offset: number) {
      await disk.read(target, offset)
      for (const { kind, ...run } of runs) {
        const from = Math.max(offset, run.offset)
        const to = Math.min(offset + target.length, run.offset + run.length)
        for (let at = from; at < to; ) {
          const block = Math.floor(at / BLOCK)
          const end = Math.min(to, (block + 1) * BLOCK)
          const bytes = blockOf(kind, block)
          target.set(bytes.subarray(at - block * BLOCK, end - block * BLOCK), at - offset)
          at = end
        }
      }
    }
  }
}

function blockOf(kind: MixedRun['kind'], block: number): Uint8Array {
  if (kind === 'zeros') return Buffer.alloc(BLOCK)
  if (kind === 'text') return Buffer.alloc(BLOCK, `block ${block} of some text that repeats; `)
  if (kind === 'mixed')
    return blockOf((['text', 'noise', 'zeros'] as const)[Math.floor(block / 200) % 3] ?? 'text', block)
  const at = (block % (NOISE.length / BLOCK)) * BLOCK
  return NOISE.subarray(at, at + BLOCK)
}
