import { describe, expect, it } from 'vitest'
import { bodyPrints } from '../../../src/vault/body-prints.ts'
import { namedKeys } from '../../../src/vault/keys.ts'

const OLD = Buffer.alloc(32, 'o')
const NEW = Buffer.alloc(32, 'n')
const body = { a: 1, b: { c: ['x', { e: 2, d: null }] }, secret: 's3cr3t' }

describe('prints of bodies', () => {
  const prints = bodyPrints(namedKeys([OLD]))

  it('are the same whatever the order of names', () => {
    const shuffled = { secret: 's3cr3t', b: { c: ['x', { d: null, e: 2 }] }, a: 1 }

    expect(prints(shuffled)).toEqual(prints(body))
    expect(prints(body)[0]).toHaveLength(32)
  })

  it.each([
    { ...body, secret: 's3cr3T' },
    { ...body, a: '1' },
    { ...body, b: { c: [{ e: 2, d: null }, 'x'] } },
    { ...body, more: null }
  ])('differ for %j', (other) => {
    expect(prints(other)).not.toEqual(prints(body))
  })

  it('are made of no body too', () => {
    expect(prints(undefined)).toEqual(prints(null))
  })

  it('still know a body after a new key came in front, and not without the old one', () => {
    const [before] = prints(body)
    const has = (all: readonly Buffer[]) => all.some((print) => before?.equals(print))

    expect(has(bodyPrints(namedKeys([NEW, OLD]))(body))).toBe(true)
    expect(has(bodyPrints(namedKeys([NEW]))(body))).toBe(false)
  })
})
