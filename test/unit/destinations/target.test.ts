import { describe, expect, it } from 'vitest'
import { objectUrl, parseTarget, splitSecretQuery } from '../../../src/destinations/target.ts'

describe('parseTarget', () => {
  it.each([
    ['https://example.org', 'https://example.org/'],
    ['HTTPS://Example.ORG:8443/a/b', 'https://example.org:8443/a/b'],
    ['http://1.1.1.1/a', 'http://1.1.1.1/a'],
    ['http://[2606:4700:4700::1111]:80/a', 'http://[2606:4700:4700::1111]/a'],
    ['s3://Bucket.Name/prefix/', 's3://Bucket.Name/prefix/'],
    ['swift://cloud.foo/my%20account/container/..a/b..', 'swift://cloud.foo/my%20account/container/..a/b..'],
    ["https://xn--n3h.com/a-._~!$&'()*+,;=:@b", "https://xn--n3h.com/a-._~!$&'()*+,;=:@b"],
    ['file:///exports', 'file:///exports'],
    [`https://example.org/${'a'.repeat(2028)}`, `https://example.org/${'a'.repeat(2028)}`]
  ])('reads %s', (text, href) => {
    expect(parseTarget(text).href).toBe(href)
  })

  it.each([
    '',
    'bucket/key',
    'https:example.org',
    'http:/example.org/',
    '//example.org/a',
    'https:///a',
    's3://',
    'javascript:alert(1)',
    'https://user@example.org/a',
    'https://user:secret@example.org/a',
    'https://example.org/a#b',
    'https://example.org/a?X-Amz-Signature=abc',
    'https://example.org\\@evil.example/a',
    'https://example.org/a b',
    ' https://example.org/a',
    'https://exa\tmple.org/a',
    'https://example.org/a\r\nX: 1',
    'https://example.org/\u0000',
    'https://ｅxample.org/a',
    'https://example.org/ä',
    'https://example.org//a',
    'https://example.org/a//b',
    'https://example.org/a//',
    's3://bucket/../other/key',
    's3://bucket/./key',
    's3://bucket/a/..',
    's3://bucket/%2e%2e/key',
    's3://bucket/.%2E/key',
    's3://bucket/a%2fb',
    's3://bucket/a%5Cb',
    's3://bucket/a%00',
    's3://bucket/a%0d%0ab',
    's3://bucket/a%7f',
    's3://bucket/a%zz',
    's3://bucket/a%ff',
    's3://bucket/a"b',
    'file://host/etc',
    'http://2130706433/',
    'swift://2130706433/a/c',
    'http://0x7f000001/',
    'http://0x7f.1/',
    'http://0177.0.0.1/',
    'http://127.1/',
    'http://1.2.3.256/',
    'http://1.2.3.4.5/',
    'http://0/',
    'http://example.1/',
    'http://[::1/',
    'http://::1/',
    'http://[fe80::1%25eth0]/',
    'http://[example.com]/',
    'http://[127.0.0.1]/',
    'http://localhost./',
    'http://a..b/',
    'http://-a.example/',
    'http://a_b.example/',
    'http://exa%6dple.org/',
    `http://${'a'.repeat(64)}.com/`,
    `http://${'a.'.repeat(127)}com/`,
    'http://example.org:/',
    'http://example.org:0/',
    'http://example.org:080/',
    'http://example.org:65536/',
    'http://example.org:8e1/',
    `https://example.org/${'a'.repeat(2029)}`
  ])('refuses %j', (text) => {
    expect(() => parseTarget(text)).toThrow(
      expect.objectContaining({ code: 'DEST_URL_INVALID', pointer: '/export_to' })
    )
  })

  it('never repeats credentials', () => {
    expect(() => parseTarget('https://user:secret@example.org/a')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') })
    )
    expect(() => parseTarget('https://example.org/a?tok=secret')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') })
    )
  })
})

describe('objectUrl', () => {
  it.each([
    ['https://example.org', 'https://example.org/id'],
    ['https://example.org/a/', 'https://example.org/a/id'],
    ['https://example.org/a%20b', 'https://example.org/a%20b/id'],
    ['s3://Bucket', 's3://Bucket/id'],
    ['swift://cloud.foo/account/container', 'swift://cloud.foo/account/container/id']
  ])('puts the export below %s', (target, href) => {
    expect(objectUrl(parseTarget(target), 'id').href).toBe(href)
  })
})

describe('splitSecretQuery', () => {
  it.each([
    ['https://h.example/a/b', undefined],
    ['s3://bucket/a', { kind: 's3_static' }],
    ['https://h.example/a', { kind: 'presigned', query: 'sig=1' }]
  ])('leaves %s as it is', (exportTo, credentials) => {
    expect(splitSecretQuery(exportTo, credentials)).toEqual({ exportTo, credentials })
  })

  it.each([
    ['https://h.example/a?tok=x%2Fy&e=1', 'https://h.example/a', 'tok=x%2Fy&e=1'],
    ['HTTP://h.example:8080/a?b?c=d:@/', 'HTTP://h.example:8080/a', 'b?c=d:@/'],
    ['https://h.example?temp_url_sig=0&temp_url_expires=1', 'https://h.example', 'temp_url_sig=0&temp_url_expires=1']
  ])('takes %s apart', (url, exportTo, query) => {
    expect(splitSecretQuery(url, undefined)).toEqual({ exportTo, credentials: { kind: 'presigned', query } })
  })

  it('keeps what else was said of a pre-signed URL', () => {
    const said = { kind: 'presigned', method: 'POST', headers: { 'x-a': 'b' } }

    expect(splitSecretQuery('https://h.example/a?b', said).credentials).toEqual({ ...said, query: 'b' })
  })

  it('makes a query that is sent as it was signed', () => {
    const all = '-._~!$&()*+,;=:@/?%20%C3%A4aZ09'
    const { credentials } = splitSecretQuery(`https://h.example/a?${all}`, undefined)
    const url = new URL('https://h.example/a')

    url.search = `?${credentials?.query}`

    expect(url.search).toBe(`?${all}`)
  })

  it.each([
    'https://h.example/a?',
    "https://h.example/a?tok='",
    'https://h.example/a?tok=a b',
    'https://h.example/a?tok=%zz',
    'https://h.example/a?tok=a#b',
    'https://h.example/a?tok="',
    'https://h.example/a?tok=a\r\nX: 1',
    'https://h.example/a?tok=ä',
    's3://bucket/a?tok=b',
    'swift://h.example/a/b?tok=c',
    `https://h.example/a?${'s'.repeat(8193)}`
  ])('refuses %j, and does not repeat it', (url) => {
    expect(() => splitSecretQuery(url, undefined)).toThrow(
      expect.objectContaining({
        code: 'DEST_URL_INVALID',
        pointer: '/export_to',
        message: expect.not.stringMatching(/tok|sss/)
      })
    )
  })

  it.each([
    [{ kind: 'bearer', token: 'a' }, 'kind'],
    [{ kind: 'presigned', query: 'a=b' }, 'query']
  ])('refuses a query beside %o', (credentials, field) => {
    expect(() => splitSecretQuery('https://h.example/a?tok=b', credentials)).toThrow(
      expect.objectContaining({ code: 'DEST_CREDENTIALS_INVALID', pointer: `/export_to_credentials/${field}` })
    )
  })
})
