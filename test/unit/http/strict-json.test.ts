import { describe, expect, test } from 'vitest'
import { parseStrictJson } from '../../../src/http/requests/strict-json.ts'

const parse = (text: string) => parseStrictJson(Buffer.from(text))

describe('parseStrictJson', () => {
  test.each([
    '{}',
    '{"a":[1,-2.5e3,true,null,"x"],"b":{"a":1,"c":{"a":[{"a":1},{"a":2}]}}}',
    '["a","a",{"k":"k, \\"k\\": {"}]',
    '{"a\\u0062":1,"aB":"\\ud83d\\ude00 \\\\"}',
    '[[],[],{"x":"a","y":"a"}]',
    '"text"',
    '  {"a" : "b"}  '
  ])('reads %s', (text) => {
    expect(parse(text)).toEqual(JSON.parse(text))
  })

  test('passes over a byte order mark', () => {
    expect(parse('\ufeff{"a":1}')).toEqual({ a: 1 })
  })

  test.each([
    ['{"a":1,"a":2}', 'The field a occurs twice.'],
    ['{"x":[{"a":1,"b":{"a":1},"a":2}]}', 'The field a occurs twice.'],
    ['{"a":1,"\\u0061":2}', 'The field a occurs twice.'],
    ['{"__proto__":1}', '__proto__'],
    ['{"\\u005f_proto__":1}', '__proto__'],
    ['{"a":"x\\u0000"}', 'U+0000'],
    ['{"a\\u0000":1}', 'U+0000'],
    ['["\\ud800"]', 'surrogate'],
    ['["\\udc00\\ud800"]', 'surrogate'],
    ['{"a":', 'Malformed'],
    ['{"a":NaN}', 'Malformed'],
    ["{'a':1}", 'Malformed'],
    ['', 'Body expected'],
    [`${'['.repeat(33)}${']'.repeat(33)}`, 'deeper than 32'],
    [`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`, 'deeper than 32'],
    ['['.repeat(20_000) + ']'.repeat(20_000), 'deeper than 32']
  ])('refuses %.60s', (text, why) => {
    expect(() => parse(text)).toThrow(why)
  })

  test('takes a thousand names and no more', () => {
    const names = (count: number) => `[${Array.from({ length: count }, (_, index) => `{"k${index}":0}`).join()}]`

    expect(() => parse(names(1000))).not.toThrow()
    expect(() => parse(names(1001))).toThrow('more than 1000 fields')
  })

  test('takes 32 levels', () => {
    expect(() => parse('['.repeat(32) + ']'.repeat(32))).not.toThrow()
  })

  test.each([
    ['half a character', [0x22, 0xc3, 0x22]],
    ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
    ['a surrogate in UTF-8', [0x22, 0xed, 0xa0, 0x80, 0x22]]
  ])('refuses bytes that are no UTF-8: %s', (_name, bytes) => {
    expect(() => parseStrictJson(Buffer.from(bytes))).toThrow('Malformed')
  })
})
