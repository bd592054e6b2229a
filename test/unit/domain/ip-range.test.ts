import { describe, expect, it } from 'vitest'
import { isInRange, isIpRange } from '../../../src/domain/ip-range.ts'

describe('a range of addresses', () => {
  it.each(['203.0.113.5', '203.0.113.0/24', '0.0.0.0/0', '2001:db8::1', '2001:db8::/32', '::/0'])(
    'can be %s',
    (text) => {
      expect(isIpRange(text)).toBe(true)
    }
  )

  it.each([
    '',
    '203.0.113',
    '203.0.113.0/33',
    '203.0.113.0/',
    '203.0.113.0/-1',
    '2001:db8::/129',
    '1.2.3.4/8/8',
    'host',
    '1.2.3.4 '
  ])('cannot be "%s"', (text) => {
    expect(isIpRange(text)).toBe(false)
    expect(isInRange('1.2.3.4', text)).toBe(false)
  })

  it.each([
    ['203.0.113.5', '203.0.113.5', true],
    ['203.0.113.6', '203.0.113.5', false],
    ['203.0.113.255', '203.0.113.0/24', true],
    ['203.0.114.0', '203.0.113.0/24', false],
    ['::ffff:203.0.113.5', '203.0.113.0/24', true],
    ['2001:db8::5', '2001:db8::/32', true],
    ['2001:db9::5', '2001:db8::/32', false],
    ['2001:db8::5', '0.0.0.0/0', false],
    ['nobody', '0.0.0.0/0', false]
  ])('%s in %s: %s', (address, range, inside) => {
    expect(isInRange(address, range)).toBe(inside)
  })
})
