import { describe, expect, it } from 'vitest'
import type { Range } from '../../../src/disks/disk.ts'
import { eraseBehind } from '../../../src/scrub/appliance/erase-behind.ts'

function device(virtualSize: number) {
  const erased: Range[] = []
  const flushed: number[] = []
  return {
    virtualSize,
    erased,
    flushed,
    erase: async (ranges: readonly Range[]) => void erased.push(...ranges),
    flush: async () => void flushed.push(erased.length)
  }
}

describe('what stands behind a file system', () => {
  it.each([
    { gaps: 'zero', length: 6000, erased: [{ offset: 6000, length: 4000 }], flushed: [1] },
    { gaps: 'zero', length: 10_000, erased: [], flushed: [] },
    { gaps: 'zero', length: 10_001, erased: [], flushed: [] },
    { gaps: 'keep', length: 6000, erased: [], flushed: [] }
  ] as const)('becomes zeros by policy $gaps, where it takes $length of 10000 bytes: $erased', async (row) => {
    const disk = device(10_000)

    await eraseBehind({ gaps: { gaps: row.gaps, bootGap: 'keep' } }, disk, row.length)

    expect(disk).toMatchObject({ erased: row.erased, flushed: row.flushed })
  })
})
