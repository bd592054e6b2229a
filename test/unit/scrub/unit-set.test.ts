import fc from 'fast-check'
import { expect, it } from 'vitest'
import { RangesBuilder } from '../../../src/scrub/byte-ranges.ts'
import { clearRuns, UnitSet } from '../../../src/scrub/filesystems/unit-set.ts'

it('holds what was put in, says what was new, and counts it', () => {
  const runs = fc.array(fc.tuple(fc.nat(500), fc.integer({ min: 1, max: 120 })), { maxLength: 12 })
  fc.assert(
    fc.property(runs, (added) => {
      const set = new UnitSet(640, 64)
      const model = new Set<number>()
      for (const [first, count] of added) {
        const units = Array.from({ length: count }, (_, i) => first + i)
        expect(set.add(first, count)).toBe(units.every((unit) => !model.has(unit)))
        for (const unit of units) model.add(unit)
      }
      for (let page = 0; page < 10; page += 1) {
        const inPage = Array.from({ length: 64 }, (_, i) => model.has(page * 64 + i))
        expect(set.count(page)).toBe(inPage.filter(Boolean).length)
        const clear = [...clearRuns(set.page(page), 61)].flatMap(({ offset, length }) =>
          Array.from({ length }, (_, i) => offset + i)
        )
        expect(clear).toEqual([...inPage.keys()].filter((i) => i < 61 && !inPage[i]))
      }
    }),
    { seed: 11, numRuns: 200 }
  )
})

it('takes memory only for pages that hold something, and no more than its limit', () => {
  const pageUnits = 8 * 65536
  const set = new UnitSet(4096 * pageUnits, pageUnits)
  const fill = () => {
    for (let page = 0; page < 4096; page += 1) set.add(page * pageUnits, 1)
  }

  expect(fill).toThrow(expect.objectContaining({ rule: 'too-large' }))
  expect(set.page(2047)).toBeDefined()
  expect(set.page(2048)).toBeUndefined()
})

it('keeps no more ranges than its limit', () => {
  const ranges = new RangesBuilder()
  const fill = () => {
    for (let i = 0; i < 5_000_000; i += 1) ranges.add(i * 2, 1)
  }

  expect(fill).toThrow(expect.objectContaining({ rule: 'too-many-ranges' }))
})

it('joins ranges that touch and takes none that overlap', () => {
  const ranges = new RangesBuilder()
  ranges.add(0, 10)
  ranges.add(10, 5)
  ranges.add(20, 1)

  expect([...ranges.build()]).toEqual([
    { offset: 0, length: 15 },
    { offset: 20, length: 1 }
  ])
  expect(() => ranges.add(20, 1)).toThrow(RangeError)
})
