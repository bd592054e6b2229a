import { describe, expect, it } from 'vitest'
import { isSignature, signature } from '../../../src/temp-urls/signature.ts'

const KEY = Buffer.from('mykey')
const OURS = '/v2/exports/43215678-4321-4321-4321-432156789abc/web-01.qcow2'
const SWIFTS = '/v1/AUTH_account/container/object'

describe('a signature', () => {
  // printf 'GET\n1764000000\n<path>' | openssl dgst -sha256 -hmac mykey
  // swift tempurl GET 1764000000 <path> mykey --absolute --digest sha256 [--ip-range 203.0.113.0/24]
  it.each([
    ['openssl', OURS, undefined, 'c77c759e8a42a5f7022a6b360de957c3267772bbd78140be3f0435a94224968a'],
    ['openssl', OURS, '203.0.113.0/24', '105f97eadb393ac2bec6b88acb70336a9603121a6411af51cd1ba7fe2f4275e4'],
    ["Swift's own client", SWIFTS, undefined, 'd4471212da128c520b899b762ac7eda022a7e759190045ab556a0c0ea52bb2fd'],
    ["Swift's own client", SWIFTS, '203.0.113.0/24', '1775517562ae8dd33c08176d5f53567284e71af945b24b86db2453ea141937fb']
  ])('is what %s computes for %s, %s', (_tool, path, ipRange, expected) => {
    expect(signature(KEY, { expires: 1_764_000_000, path, ipRange })).toBe(expected)
  })

  it('is known by any of the keys and for exactly what was signed', () => {
    const signed = { expires: 1_764_000_000, path: OURS, ipRange: undefined }
    const given = signature(KEY, signed)
    const other = Buffer.from('other')

    expect(isSignature([other, KEY], signed, given)).toBe(true)
    expect(isSignature([other], signed, given)).toBe(false)
    expect(isSignature([], signed, given)).toBe(false)
    expect(isSignature([KEY], { ...signed, expires: 1_764_000_001 }, given)).toBe(false)
    expect(isSignature([KEY], { ...signed, path: `${OURS}x` }, given)).toBe(false)
    expect(isSignature([KEY], { ...signed, ipRange: '' }, given)).toBe(false)
    for (const text of ['', 'x', given.slice(1), `${given}0`, given.toUpperCase(), `${given}\n`, 'é'.repeat(64)])
      expect(isSignature([KEY], signed, text)).toBe(false)
  })
})
