import fc from 'fast-check'
import { expect, it } from 'vitest'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import { memoryDisk } from '../../support/memory-disk.ts'

it('counts a unit as data when any byte of it is, for any runs and unit', async () => {
  const cases = fc.record({
    unit: fc.integer({ min: 1, max: 40 }),
    steps: fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 50 })), { maxLength: 20 })
  })
  await fc.assert(
    fc.asyncProperty(cases, async ({ unit, steps }) => {
      let at = 0
      const runs = steps.map(([gap, length]) => {
        const offset = at + gap
        at = offset + length
        return { offset, length }
      })
      const expected = new Set(
        runs.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => Math.floor((offset + i) / unit)))
      )

      const units = (await AllocationMap.of(memoryDisk(at + 10, runs))).units(unit)

      const found = [...units.starts].flatMap((start, run) =>
        Array.from({ length: units.counts[run] ?? 0 }, (_, i) => start + i)
      )
      expect(found).toEqual([...expected].sort((a, b) => a - b))
      expect(units.total).toBe(expected.size)
      expect([...units.ranks]).toEqual([...units.starts].map((start) => found.indexOf(start)))
    }),
    { seed: 20260103 }
  )
})

it('refuses extents with a gap or short of the end', async () => {
  const broken = {
    ...memoryDisk(1024, []),
    async *extents() {
      yield { offset: 512, length: 512, data: true }
    }
  }
  await expect(AllocationMap.of(broken)).rejects.toThrow('contiguous')
})
