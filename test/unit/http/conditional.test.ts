import { describe, expect, it } from 'vitest'
import { verdictOn } from '../../../src/http/answers/conditional.ts'
import { disposition } from '../../../src/http/answers/download-headers.ts'

const ETAG = '"abc"'
const AT = 'Sun, 22 Nov 2026 06:50:39 GMT'
const BEFORE = 'Sun, 22 Nov 2026 06:50:38 GMT'
const validators = { etag: ETAG, lastModified: new Date('2026-11-22T06:50:39.700Z') }
const verdict = (headers: Record<string, string>, method = 'GET') => verdictOn(method, headers, validators, 1000)
const part = (from: number, to: number) => ({ status: 206, from, to })
const whole = { status: 200 }

describe('Range (RFC 9110, 14.2)', () => {
  it.each([
    ['bytes=0-0', part(0, 1)],
    ['bytes=10-19', part(10, 20)],
    ['bytes=990-', part(990, 1000)],
    ['bytes=990-99999999999999999999999', part(990, 1000)],
    ['bytes=-10', part(990, 1000)],
    ['bytes=-5000', part(0, 1000)],
    ['Bytes= 1-2 ', part(1, 3)],
    ['bytes=1000-', { status: 416 }],
    ['bytes=99999999999999999999999-', { status: 416 }],
    ['bytes=-0', { status: 416 }],
    ['bytes=5-4', whole],
    ['bytes=-', whole],
    ['bytes=a-b', whole],
    ['bytes=1.5-2', whole],
    ['bytes=0-1,5-6', whole],
    ['items=0-1', whole],
    ['', whole]
  ])('%s', (range, expected) => {
    expect(verdict({ range })).toEqual(expected)
  })

  it('is for GET only', () => {
    expect(verdict({ range: 'bytes=0-0' }, 'HEAD')).toEqual(whole)
  })

  it.each([
    [ETAG, part(0, 1)],
    [AT, part(0, 1)],
    [BEFORE, whole],
    ['"other"', whole],
    [`W/${ETAG}`, whole],
    ['abc', whole]
  ])('with If-Range: %s', (ifRange, expected) => {
    expect(verdict({ range: 'bytes=0-0', 'if-range': ifRange })).toEqual(expected)
  })
})

describe('conditions (RFC 9110, 13.2.2)', () => {
  it.each([
    [{ 'if-none-match': ETAG }, 304],
    [{ 'if-none-match': `"x", W/${ETAG}` }, 304],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': '"x"' }, 200],
    [{ 'if-none-match': '"x"', 'if-modified-since': AT }, 200],
    [{ 'if-modified-since': AT }, 304],
    [{ 'if-modified-since': BEFORE }, 200],
    [{ 'if-modified-since': 'yesterday' }, 200],
    [{ 'if-match': ETAG }, 200],
    [{ 'if-match': '*' }, 200],
    [{ 'if-match': '"x"' }, 412],
    [{ 'if-match': `W/${ETAG}` }, 412],
    [{ 'if-unmodified-since': AT }, 200],
    [{ 'if-unmodified-since': BEFORE }, 412],
    [{ 'if-match': ETAG, 'if-unmodified-since': BEFORE }, 200],
    [{ 'if-none-match': ETAG, range: 'bytes=0-0' }, 304]
  ])('%o', (headers, status) => {
    expect(verdict(headers as unknown as Record<string, string>).status).toBe(status)
  })
})

describe('Content-Disposition', () => {
  it.each([
    ['web-01.qcow2', `attachment; filename="web-01.qcow2"; filename*=UTF-8''web-01.qcow2`],
    ['büro.raw', `attachment; filename="b_ro.raw"; filename*=UTF-8''b%C3%BCro.raw`],
    [
      'a"b\\c/d\r\nSet-Cookie: x',
      `attachment; filename="a_b_c_dSet-Cookie: x"; filename*=UTF-8''a%22b_c_dSet-Cookie%3A%20x`
    ],
    ["it's (1)*%41", `attachment; filename="it's (1)*_41"; filename*=UTF-8''it%27s%20%281%29%2A%2541`],
    ['\u202egpj.exe\ud800', `attachment; filename="gpj.exe_"; filename*=UTF-8''gpj.exe%EF%BF%BD`]
  ])('of %j', (name, expected) => {
    expect(disposition('attachment', name)).toBe(expected)
  })
})
