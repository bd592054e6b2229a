import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { loginFailure, manifestFailure, swiftFailure } from '../../../src/destinations/swift/failures.ts'
import { DEFAULT_CLUSTER, infoUrl, readInfo } from '../../../src/destinations/swift/info.ts'
import { manifestRefusal } from '../../../src/destinations/swift/manifest.ts'
import { readDeletions } from '../../../src/destinations/swift/objects.ts'
import { pathOf, readPlace } from '../../../src/destinations/swift/place.ts'
import { planUpload, segmentName } from '../../../src/destinations/swift/plan.ts'
import { storageUrl } from '../../../src/destinations/swift/storage-url.ts'
import { parseTarget } from '../../../src/destinations/target.ts'
import { GiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

const keystone = { auth_url: 'https://keystone.cloud.foo:443/v3' }
const tempauth = { kind: 'tempauth', auth_url: 'https://cloud.foo/auth/v1.0', user: 'myaccount:me', key: 'k' }
const password = { kind: 'password', ...keystone, username: 'me', password: 'p', project_name: 'mine' }
const appCredential = { kind: 'application_credential', ...keystone, id: 'i', secret: 's' }
const token = { kind: 'token', ...keystone, token: 't' }
const signed = { kind: 'temp_url', temp_url_sig: 'aa', temp_url_expires: '1800000000' }

describe('swift check', () => {
  const destination = createDestinations({
    hashers,
    allowedNetworks: [],
    allowedEndpoints: ['http://127.0.0.1:8080']
  }).forScheme('swift')
  const check = (url: string, credentials: Credentials | undefined) => destination.check(parseTarget(url), credentials)

  it.each<[string, Credentials]>([
    ['swift://cloud.foo/myaccount/mycontainer/path', tempauth],
    ['swift://cloud.foo/myaccount/mycontainer', tempauth],
    ['swift://cloud.foo:443/AUTH_0123/mycontainer/a/b/c', password],
    ['swift://cloud.foo/AUTH_0123/c%C3%BC/', { ...password, project_name: undefined, project_id: '0123' }],
    ['swift://cloud.foo/a/c', { ...password, auth_url: 'https://cloud.foo/identity', region: 'r', interface: 'admin' }],
    ['swift://cloud.foo/a/c', { ...appCredential, endpoint: 'https://objects.cloud.foo/v1/AUTH_0123' }],
    ['swift://cloud.foo/a/c', token],
    ['swift://cloud.foo/a/c/o', { kind: 'temp_url', key: 'k', digest: 'sha1' }],
    ['swift://cloud.foo/a/c/o', { ...signed, temp_url_prefix: 'o' }],
    ['swift://127.0.0.1/a/c/o', { ...tempauth, auth_url: 'http://127.0.0.1:8080/auth/v1.0' }]
  ])('accepts %s with %o', (url, credentials) => {
    expect(() => check(url, credentials)).not.toThrow()
  })

  it.each<[string, Credentials | undefined, string, string]>([
    ['swift://cloud.foo', tempauth, 'DEST_URL_INVALID', '/export_to'],
    ['swift://cloud.foo/myaccount', tempauth, 'DEST_URL_INVALID', '/export_to'],
    ['swift://cloud.foo/myaccount/', tempauth, 'DEST_URL_INVALID', '/export_to'],
    ['swift://cloud.foo/a/b%2Fc/o', tempauth, 'DEST_URL_INVALID', '/export_to'],
    ['swift://cloud.foo/a/../b', tempauth, 'DEST_URL_INVALID', '/export_to'],
    ['swift://me:secret@cloud.foo/a/c', tempauth, 'DEST_URL_INVALID', '/export_to'],
    ['swift://2130706433/a/c', tempauth, 'DEST_URL_INVALID', '/export_to'],
    [`swift://cloud.foo/a/${'c'.repeat(248)}`, tempauth, 'DEST_URL_INVALID', '/export_to'],
    [`swift://cloud.foo/a/c/${'o'.repeat(1025)}`, tempauth, 'DEST_URL_INVALID', '/export_to'],
    ['swift://169.254.169.254/a/c', tempauth, 'DEST_ADDRESS_FORBIDDEN', '/export_to'],
    ['swift://cloud.foo:8080/a/c', { ...tempauth, auth_url: 'https://a.foo' }, 'DEST_ADDRESS_FORBIDDEN', '/export_to'],
    ['swift://cloud.foo/a/c', undefined, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/kind'],
    ['swift://cloud.foo/a/c', { kind: 'basic' }, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/kind'],
    ['swift://cloud.foo/a/c', { kind: 'temp_url' }, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/key'],
    ['swift://cloud.foo/a/c', { ...signed, key: 'k' }, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/key'],
    [
      'swift://cloud.foo/a/c',
      { ...signed, temp_url_expires: undefined },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/temp_url_expires'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...password, project_name: undefined },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/project_name'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...tempauth, user: 'a\r\nb' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/user'
    ],
    ['swift://cloud.foo/a/c', { ...token, token: 'a b\n' }, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/token'],
    [
      'swift://cloud.foo/a/c',
      { ...password, auth_url: 'https://keystone.cloud.foo/v2.0' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/auth_url'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...token, auth_url: 'ftp://h.foo' },
      'DEST_URL_INVALID',
      '/export_to_credentials/auth_url'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...token, auth_url: 'https://u:p@h.foo/v3' },
      'DEST_URL_INVALID',
      '/export_to_credentials/auth_url'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...token, auth_url: 'https://169.254.169.254/v3' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/auth_url'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...token, auth_url: 'http://keystone.cloud.foo/v3' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/auth_url'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...token, endpoint: 'https://[fd00::1]/v1/AUTH_x' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    [
      'swift://cloud.foo/a/c',
      { ...token, tls: { ca_pem: 'none' } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/tls/ca_pem'
    ]
  ])('refuses %s with %o', (url, credentials, code, pointer) => {
    expect(() => check(url, credentials)).toThrow(expect.objectContaining({ code, pointer }))
  })

  it('knows which credentials are for one object, and which for one request', () => {
    expect(destination.namesObject(signed)).toBe(true)
    expect(destination.namesObject({ ...signed, temp_url_prefix: 'x' })).toBe(false)
    expect(destination.namesObject(tempauth)).toBe(false)
    expect(destination.anyOrder(signed)).toBe(false)
    expect(destination.anyOrder(password)).toBe(true)
  })
})

describe('a place in swift', () => {
  it('is read from the URL and written into a path', () => {
    const place = readPlace(parseTarget('swift://cloud.foo/AUTH_a/c%20%C3%BC/x/y+(1)%23'))

    expect(place).toEqual({ account: 'AUTH_a', container: 'c ü', object: 'x/y+(1)#' })
    expect(pathOf(place.container, place.object)).toBe('/c%20%C3%BC/x/y%2B(1)%23')
    expect(segmentName(place, 'an-export', 7)).toBe('x/y+(1)#/an-export/00000007')
  })
})

describe('the URL of the account', () => {
  const named = { named: 'AUTH_p', alsoNamed: ['p', 'project'], host: 'keystone.foo' }

  it.each<[string | undefined, string | undefined, string, string]>([
    ['https://swift.foo/v1/AUTH_p', undefined, 'AUTH_p', 'https://swift.foo/v1/AUTH_p'],
    ['https://swift.foo/v1/AUTH_p/', undefined, 'project', 'https://swift.foo/v1/AUTH_p'],
    ['https://swift.foo/v1/AUTH_p', 'https://other.foo:8443', 'p', 'https://other.foo:8443/v1/AUTH_p'],
    ['https://swift.foo/v1/AUTH_p', 'https://other.foo/swift/v1/AUTH_p', 'p', 'https://other.foo/swift/v1/AUTH_p'],
    [undefined, 'https://other.foo/v1/AUTH_p', 'AUTH_p', 'https://other.foo/v1/AUTH_p'],
    ['https://ceph.foo/swift/v1', undefined, 'project', 'https://ceph.foo/swift/v1']
  ])('for %s and %s, named %s, is %s', (given, override, name, expected) => {
    const url = storageUrl(given, override === undefined ? undefined : new URL(override), { ...named, named: name })

    expect(url.href).toBe(expected)
  })

  it.each<[string | undefined, string, string]>([
    ['https://swift.foo/v1/AUTH_p', 'AUTH_q', 'DEST_FORBIDDEN'],
    ['https://ceph.foo/swift/v1', 'v1', 'DEST_FORBIDDEN'],
    [undefined, 'AUTH_p', 'DEST_REJECTED'],
    ['file:///etc/passwd', 'passwd', 'DEST_REJECTED'],
    ['nonsense', 'AUTH_p', 'DEST_REJECTED']
  ])('is refused for %s, named %s', (given, name, code) => {
    expect(() => storageUrl(given, undefined, { ...named, named: name })).toThrow(expect.objectContaining({ code }))
  })
})

describe('/info', () => {
  it.each([
    ['https://swift.foo/v1/AUTH_p', 'https://swift.foo/info'],
    ['https://ceph.foo/swift/v1/AUTH_p', 'https://ceph.foo/swift/info'],
    ['https://ceph.foo/swift/v1', 'https://ceph.foo/swift/info']
  ])('of %s is at %s', (storage, expected) => {
    expect(infoUrl(new URL(storage)).href).toBe(expected)
  })

  it('tells the limits', () => {
    const swift = { max_file_size: 1000, max_object_name_length: 99 }
    const slo = { max_manifest_segments: 7, min_segment_size: 5, max_manifest_size: 3000 }
    const others = { bulk_delete: { max_deletes_per_request: 11 }, tempurl: { allowed_digests: ['sha1', 'sha512'] } }

    expect(readInfo(JSON.stringify({ swift, slo, ...others }))).toEqual({
      maxFileBytes: 1000,
      maxNameBytes: 99,
      slo: { maxSegments: 7, minSegmentBytes: 5, maxManifestBytes: 3000 },
      bulkDeletes: 11,
      tempUrlDigest: 'sha512'
    })
  })

  it.each(['', 'null', '[]', '<html>', '{"swift":', '{"swift":null}'])('that says %j leaves the defaults', (body) => {
    expect(readInfo(body)).toEqual(DEFAULT_CLUSTER)
  })

  it('is not believed to take more segments than are listed', () => {
    expect(readInfo('{"swift":{},"slo":{"max_manifest_segments":9007199254740991}}').slo?.maxSegments).toBe(20_000)
  })

  it('is not believed where it makes no sense', () => {
    const { maxFileBytes, slo } = readInfo('{"swift":{"max_file_size":-1},"slo":{"max_manifest_segments":"9"}}')

    expect(maxFileBytes).toBe(DEFAULT_CLUSTER.maxFileBytes)
    expect(slo).toEqual(DEFAULT_CLUSTER.slo)
  })
})

describe('a plan', () => {
  const planned = {
    place: { account: 'a', container: 'c', object: 'o' },
    exportId: '0'.repeat(36),
    length: 0,
    exact: true,
    virtual: true,
    segments: true
  }
  const plan = (changes: Partial<typeof planned>, limits = DEFAULT_CLUSTER) =>
    planUpload({ ...planned, ...changes }, limits, 'h')
  const slo = { maxSegments: 1000, minSegmentBytes: 1, maxManifestBytes: 8 * MiB }

  it.each([
    [0, { how: 'one request', partBytes: 1, parts: 1 }],
    [16 * MiB, { how: 'one request', partBytes: 16 * MiB, parts: 1 }],
    [16 * MiB + 1, { how: 'segments', partBytes: 16 * MiB, parts: 2 }],
    [900 * 16 * MiB, { how: 'segments', partBytes: 16 * MiB, parts: 900 }],
    [900 * 16 * MiB + 1, { how: 'segments', partBytes: 17 * MiB, parts: 848 }],
    [1 * TiB, { how: 'segments', partBytes: 1166 * MiB, parts: 900 }],
    [4.5 * TiB, { how: 'segments', partBytes: 5 * GiB + 1, parts: 922 }]
  ])('for %d bytes', (length, expected) => {
    expect(plan({ length })).toEqual(expected)
  })

  it('has no parts that are too large to wait in memory', () => {
    expect(plan({ length: 900 * 512 * MiB, virtual: false })).toMatchObject({ partBytes: 512 * MiB })
    expect(() => plan({ length: 900 * 512 * MiB + 1, virtual: false })).toThrow(
      expect.objectContaining({ code: 'DEST_LIMIT_EXCEEDED', message: expect.stringContaining('512 MiB') })
    )
  })

  it('stays within the limits of the cluster', () => {
    expect(plan({ length: 10_000 }, { ...DEFAULT_CLUSTER, maxFileBytes: 1000 })).toMatchObject({
      partBytes: 999,
      parts: 11
    })
    expect(
      plan({ length: 100 * MiB }, { ...DEFAULT_CLUSTER, slo: { ...slo, minSegmentBytes: 32 * MiB } })
    ).toMatchObject({
      partBytes: 32 * MiB
    })
    expect(
      plan({ length: 100 * GiB }, { ...DEFAULT_CLUSTER, slo: { ...slo, maxManifestBytes: 100 * 159 } })
    ).toMatchObject({
      parts: 90
    })
    expect(plan({ length: 1 * GiB }, { ...DEFAULT_CLUSTER, slo: { ...slo, maxSegments: 1 } })).toMatchObject({
      parts: 1
    })
  })

  it.each<[string, Parameters<typeof plan>]>([
    ['more segments than a manifest takes', [{ length: 1000 * (5 * GiB + 1) + 1 }]],
    ['a file for one request', [{ length: 6 * GiB }, { ...DEFAULT_CLUSTER, slo: undefined }]],
    ['one request of a temporary URL', [{ length: 6 * GiB, segments: false }]],
    ['what a temporary URL takes without its length', [{ length: 17 * MiB, exact: false, segments: false }]],
    ['the name of an object', [{ place: { ...planned.place, object: 'o'.repeat(1025) } }]],
    ['the name of a segment', [{ place: { ...planned.place, object: 'o'.repeat(1000) }, length: 20 * MiB }]]
  ])('is refused for %s', (_, of) => {
    expect(() => plan(...of)).toThrow(expect.objectContaining({ code: 'DEST_LIMIT_EXCEEDED', permanent: true }))
  })
})

describe('swift failures', () => {
  it.each<[number, string, string, boolean]>([
    [401, '', 'DEST_AUTH_FAILED', true],
    [403, '', 'DEST_FORBIDDEN', true],
    [404, '', 'DEST_CONTAINER_NOT_FOUND', true],
    [408, '', 'DEST_UNREACHABLE', false],
    [409, '', 'DEST_THROTTLED', false],
    [411, '', 'DEST_REJECTED', true],
    [412, '', 'DEST_OBJECT_EXISTS', true],
    [413, 'Your request is too large.', 'DEST_LIMIT_EXCEEDED', true],
    [413, 'Upload exceeds quota.', 'DEST_QUOTA_EXCEEDED', true],
    [422, '', 'DEST_INTEGRITY_MISMATCH', false],
    [429, '', 'DEST_THROTTLED', false],
    [498, '', 'DEST_THROTTLED', false],
    [500, '', 'DEST_REJECTED', false],
    [503, '', 'DEST_THROTTLED', false],
    [507, '', 'DEST_THROTTLED', false]
  ])('%d with %j is %s', (status, body, code, permanent) => {
    const error = swiftFailure('h', { status, headers: { 'retry-after': '2' }, body })

    expect(error).toMatchObject({ code, permanent, upstreamStatus: status, retryAfterMs: 2000 })
  })

  it.each<[number, string, boolean]>([
    [400, 'DEST_AUTH_FAILED', true],
    [401, 'DEST_AUTH_FAILED', true],
    [403, 'DEST_AUTH_FAILED', true],
    [300, 'DEST_AUTH_FAILED', true],
    [404, 'DEST_AUTH_FAILED', true],
    [429, 'DEST_THROTTLED', false],
    [500, 'DEST_REJECTED', false],
    [503, 'DEST_THROTTLED', false]
  ])('a login answered with %d is %s', (status, code, permanent) => {
    expect(loginFailure('h', { status, headers: {}, body: '' })).toMatchObject({ code, permanent })
  })

  it.each<[number, string, string]>([
    [400, '/c/1, Etag Mismatch', 'DEST_INTEGRITY_MISMATCH'],
    [400, '/c/1, Size Mismatch', 'DEST_INTEGRITY_MISMATCH'],
    [400, '/c/1, 404 Not Found', 'DEST_COMMIT_FAILED'],
    [400, '/c/quota-404-etag-mismatch/1, Too Small', 'DEST_REJECTED'],
    [400, 'Too small', 'DEST_REJECTED'],
    [412, '', 'DEST_OBJECT_EXISTS'],
    [413, 'quota', 'DEST_QUOTA_EXCEEDED'],
    [503, '', 'DEST_THROTTLED']
  ])('a manifest refused with %d and %j is %s', (status, problems, code) => {
    expect(manifestFailure('h', status, problems)).toMatchObject({ code, upstreamStatus: status })
  })

  it.each<[number, string, string | undefined]>([
    [201, '', undefined],
    [202, ' \r\n\r\n{"Response Status":"201 Created","Errors":[]}', undefined],
    [200, '{"Response Status":"201 Created","Errors":[["/c/1","Etag Mismatch"]]}', 'DEST_INTEGRITY_MISMATCH'],
    [202, ' {"Response Status":"400 Bad Request","Errors":[["/c/1","404 Not Found"]]}', 'DEST_COMMIT_FAILED'],
    [202, '   ', 'DEST_COMMIT_FAILED'],
    [202, '{"Resp', 'DEST_COMMIT_FAILED'],
    [400, 'Errors:\n/c/1, Etag Mismatch', 'DEST_INTEGRITY_MISMATCH'],
    [403, '', 'DEST_FORBIDDEN']
  ])('an answer %d %j to a manifest is %s', (status, body, code) => {
    expect(manifestRefusal({ status, headers: {}, body, md5: undefined }, 'h')?.code).toBe(code)
  })

  it('reads from the body of a 200 what was not deleted', () => {
    expect(readDeletions('{"Number Deleted":3,"Response Status":"200 OK","Errors":[]}', 'h')).toBe(3)
    expect(
      readDeletions('{"Number Deleted":2,"Response Status":"200 OK","Errors":[["/c/1","404 Not Found"]]}', 'h')
    ).toBe(2)
    expect(() => readDeletions('{"Number Deleted":2,"Errors":[["/c/1","403 Forbidden"]]}', 'h')).toThrow(
      expect.objectContaining({ code: 'DEST_FORBIDDEN' })
    )
    expect(() => readDeletions('{"Response Status":"502 Bad Gateway","Errors":[]}', 'h')).toThrow(
      expect.objectContaining({ code: 'DEST_REJECTED' })
    )
  })

  it.each([
    '{"Response Status":"200 OK","Errors":[]',
    '{"Response Status":"200 OK","Errors":[]}',
    '{"Number Deleted":2,"Errors":[]}',
    '{"Number Deleted":2,"Response Status":"odd","Errors":[]}',
    '{"Number Deleted":2,"Response Status":"200 OK","Errors":[["/c/1","odd"]]}',
    '{"Number Deleted":2,"Response Status":"200 OK","Errors":[null]}'
  ])('takes %s for no word that all is gone', (body) => {
    expect(readDeletions(body, 'h')).toBeUndefined()
  })
})
