import { expect, it } from 'vitest'
import { Changes } from '../../../src/scrub/changes.ts'

it('are copied however many pieces they are in', () => {
  const changes = new Changes()
  const many = 300_000
  for (let at = 0; at < many; at += 1) changes.set(2 * at, 2 * at + 1, 'zeros')

  const copy = changes.copy()
  changes.set(0, 2 * many, 'file')

  expect(copy.bytes).toBe(many)
})
