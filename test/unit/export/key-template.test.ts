import { describe, expect, it } from 'vitest'
import { parseTarget } from '../../../src/destinations/target.ts'
import { KeyTemplateInvalid } from '../../../src/domain/export-errors.ts'
import {
  besideIt,
  type KeyValues,
  objectUrlOf,
  timesOf,
  withSuffix
} from '../../../src/export/requests/key-template.ts'

const VALUES: KeyValues = {
  export_id: 'e-1',
  task_id: 't-1',
  image_id: 'i-1',
  image_name: 'web-01',
  format: 'vmdk',
  ext: 'vmdk',
  ...timesOf(new Date('2026-11-22T06:50:39.123Z'))
}
const PLACE = new URL('s3://bucket/vm/')
const named = (template: string, values: Partial<KeyValues> = {}) =>
  objectUrlOf(PLACE, template, { ...VALUES, ...values }).href

describe('a key template', () => {
  it.each([
    ['{export_id}', 's3://bucket/vm/e-1'],
    ['{date}/{image_name}-{task_id}.{ext}', 's3://bucket/vm/2026-11-22/web-01-t-1.vmdk'],
    ['{image_id}_{format}_{timestamp}', 's3://bucket/vm/i-1_vmdk_20261122T065039Z'],
    ['a b/ü?#%41', 's3://bucket/vm/a%20b/%C3%BC%3F%23%2541'],
    ['plain.raw', 's3://bucket/vm/plain.raw']
  ])('%s names %s', (template, url) => {
    expect(named(template)).toBe(url)
  })

  it('goes below a place without a path too', () => {
    expect(objectUrlOf(new URL('https://example.com'), '{ext}', VALUES).href).toBe('https://example.com/vmdk')
  })

  it.each([
    ['../../etc/passwd', '_-..-etc-passwd'],
    ['..', '_'],
    ['.', '_'],
    ['a/b\\c', 'a-b-c'],
    ['a\u0000b\u202ec\nd', 'a-b-c-d'],
    ['{task_id}', '-task_id-'],
    ['%2e%2e%2f', '-2e-2e-2f'],
    ['Ubuntu 24.04 (Ünïcode) 日本', 'Ubuntu-24.04-(%C3%9Cn%C3%AFcode)-%E6%97%A5%E6%9C%AC'],
    ['', '_'],
    ['\ud800', '-'],
    ['日'.repeat(100), '%E6%97%A5'.repeat(42)]
  ])('makes one segment of the image name %j', (image_name, segment) => {
    const url = named('{image_name}', { image_name })

    expect(url).toBe(`s3://bucket/vm/${segment}`)
    expect(parseTarget(url).href).toBe(url)
  })

  it.each([
    ['an unknown placeholder', '{name}', 'the placeholders are {export_id}'],
    ['an inherited name', '{constructor}', 'the placeholders are'],
    ['an open brace', '{image_name', 'braces'],
    ['a closed brace', 'image_name}', 'braces'],
    ['an empty placeholder', '{}', 'the placeholders are'],
    ['dot segments', '../{export_id}', '. and ..'],
    ['a dot segment at the end', 'a/.', '. and ..'],
    ['empty segments', 'a//b', 'empty path segments'],
    ['a slash at the beginning', '/a', 'empty path segments'],
    ['a slash alone', '/', 'end with a slash'],
    ['a backslash', 'a\\b', 'backslashes'],
    ['a control character', 'a\u0007b', 'control characters'],
    ['a direction mark', 'a\u202eb', 'control characters'],
    ['half a character', 'a\ud800', 'control characters'],
    ['more than stores take', 'a'.repeat(1025), 'longer than 1024 bytes'],
    ['a URL that is too long', 'ü'.repeat(500), 'at most 2048 characters']
  ])('refuses %s', (_case, template, why) => {
    expect(() => named(template)).toThrow(KeyTemplateInvalid)
    expect(() => named(template)).toThrow(why)
  })

  it('refuses a trailing slash rather than to write below it', () => {
    expect(() => named('a/')).toThrow(KeyTemplateInvalid)
  })
})

describe('a suffix', () => {
  it.each([
    ['s3://b/disk.raw', 1, 's3://b/disk-1.raw'],
    ['s3://b/a.b/disk', 2, 's3://b/a.b/disk-2'],
    ['s3://b/disk.tar.gz', 1, 's3://b/disk.tar-1.gz'],
    ['s3://b/.hidden', 1, 's3://b/.hidden-1'],
    ['s3://b/%C3%BC.raw', 12, 's3://b/%C3%BC-12.raw'],
    ['s3://b/disk.raw', 0, 's3://b/disk.raw']
  ])('of %s and %i is %s', (url, suffix, expected) => {
    expect(withSuffix(new URL(url), suffix).href).toBe(expected)
  })
})

it('a sidecar stands beside its object', () => {
  expect(besideIt(new URL('s3://b/disk.raw'), '.sha256').href).toBe('s3://b/disk.raw.sha256')
})
