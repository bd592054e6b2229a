import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { bytes, errorBody, isComplete, part, type S3Harness, s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

const SIGNED = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIATEST%2F20261122%2Fr%2Fs3%2Faws4_request\
&X-Amz-SignedHeaders=host&X-Amz-Signature=${'5ec4e7'.padEnd(64, '0')}`
const stamp = (date: Date) => date.toISOString().replace(/[-:]|\.\d+/g, '')
const valid = (seconds: number, from = new Date()) => `&X-Amz-Date=${stamp(from)}&X-Amz-Expires=${seconds}`

/** The credentials for a target, made of what the store's URLs for it look like. */
type Urls = (object: string) => Record<string, unknown>
const putUrl: Urls = (object) => ({ put_url: `${object}?${SIGNED}${valid(600)}` })
const multipart =
  (uploadId: string, parts: number, more: Record<string, unknown> = {}): Urls =>
  (object) => ({
    parts: Array.from({ length: parts }, (_, at) => `${object}?partNumber=${at + 1}&uploadId=${uploadId}&${SIGNED}`),
    complete_url: `${object}?uploadId=${uploadId}&${SIGNED}`,
    abort_url: `${object}?uploadId=${uploadId}&${SIGNED}`,
    ...more
  })

function signedFor(harness: S3Harness, length: number, urls: Urls): UploadTarget {
  const target = harness.target(length)
  const object = `http://127.0.0.1:${harness.faults.port}/exports${target.url.pathname}`
  return { ...target, credentials: new Secret<Credentials>({ kind: 's3_presigned', ...urls(object) }) }
}

/** A multipart upload that was begun by somebody with keys. */
async function begun(harness: S3Harness, length: number, parts: number, more: Record<string, unknown> = {}) {
  const { state } = await harness.destination.open(harness.target(1), never)
  const uploadId = state?.uploadId ?? ''
  const target = signedFor(harness, length, multipart(uploadId, parts, more))
  const upload = harness.server.uploads.get(uploadId)
  if (upload === undefined) throw new Error('the upload was not begun')
  harness.server.uploads.set(uploadId, { ...upload, place: `/exports${target.url.pathname}` })
  return target
}

const partAt = (number: number, length: number) => ({ number, offset: (number - 1) * 5 * MiB, length })

describe('a pre-signed PUT to s3', () => {
  it('sends the whole object in one request that carries nothing but its type', async () => {
    await using harness = await s3Harness(hashers)
    const target = signedFor(harness, 1000, putUrl)
    harness.destination.check(target.url, target.credentials?.unwrap())

    const upload = await harness.destination.open(target, never)
    await upload.putPart(part(1000), bytes(1000), never)
    const { location, etag } = await upload.commit(never)

    expect(upload).toMatchObject({ partBytes: 1000, parallel: 1, state: null })
    expect({ location, etag }).toEqual({ location: target.url.href, etag: `"${harness.stored(target.url)?.etag}"` })
    expect(harness.stored(target.url)).toMatchObject({ mediaType: 'application/x-test', metadata: {} })
    expect(harness.faults.seen).toHaveLength(1)
  })

  it('leaves the type away where the signature is of version 2, which covers it', async () => {
    await using harness = await s3Harness(hashers)
    const urls: Urls = (object) => ({ put_url: `${object}?AWSAccessKeyId=AKIATEST&Signature=c2ln&Expires=4102444800` })
    const target = signedFor(harness, 1000, urls)

    const upload = await harness.destination.open(target, never)
    await upload.putPart(part(1000), bytes(1000), never)

    expect(harness.stored(target.url)).toMatchObject({ mediaType: '' })
  })

  it('notices bytes that changed on the way', async () => {
    await using harness = await s3Harness(hashers)
    const upload = await harness.destination.open(signedFor(harness, 1000, putUrl), never)
    harness.breakNextPart({ kind: 'corrupt', atByte: 7 })

    await expect(upload.putPart(part(1000), bytes(1000), never)).rejects.toMatchObject({
      code: 'DEST_INTEGRITY_MISMATCH',
      permanent: false
    })
  })

  it('is one body, of 5 GiB at most', async () => {
    await using harness = await s3Harness(hashers)
    const { destination } = harness
    const target = signedFor(harness, 5 * GiB + 1, putUrl)

    await expect(destination.open(target, never)).rejects.toMatchObject({ code: 'DEST_LIMIT_EXCEEDED' })
    expect(destination.anyOrder(target.credentials?.unwrap())).toBe(false)
    expect(destination.anyOrder({ kind: 's3_static' })).toBe(true)
  })

  it('names the object, and can neither look at it nor remove it', async () => {
    await using harness = await s3Harness(hashers)
    const { destination } = harness
    const target = signedFor(harness, 1, putUrl)
    const reading = async () => {
      for await (const _ of destination.read(target, { from: 0, to: 1 }, never)) throw new Error('it gave something')
    }

    expect(destination.namesObject(target.credentials?.unwrap())).toBe(true)
    expect(destination.namesObject({ kind: 's3_static' })).toBe(false)
    expect(await destination.find(target, never)).toEqual({ status: 'unreadable' })
    await expect(reading()).rejects.toMatchObject({ code: 'DEST_FORBIDDEN', actor: 'user' })
    await expect(destination.remove(target, never)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    expect(harness.faults.seen).toEqual([])
  })

  it.each([
    ['is over', valid(60, new Date(Date.now() - 61_000))],
    ['of version 2 is over', '&Expires=1500000000']
  ])('is refused when its time %s', async (_, time) => {
    await using harness = await s3Harness(hashers)
    const target = signedFor(harness, 1, (object) => ({ put_url: `${object}?${SIGNED}${time}` }))
    const auth = harness.destination.checks(target).find(({ id }) => id === 'dest.auth')

    const expired = { code: 'DEST_CREDENTIALS_EXPIRED', permanent: true, actor: 'user' }
    await expect(auth?.run(never)).rejects.toMatchObject(expired)
    await expect(harness.destination.open(target, never)).rejects.toMatchObject(expired)
    expect(harness.faults.seen).toEqual([])
  })

  it('shows how long it is good', async () => {
    await using harness = await s3Harness(hashers)
    const auth = harness.destination.checks(signedFor(harness, 1, putUrl)).find(({ id }) => id === 'dest.auth')

    const facts = await auth?.run(never)

    expect(facts?.valid_seconds).toBeGreaterThan(500)
    expect(facts?.valid_seconds).toBeLessThanOrEqual(600)
  })
})

describe('a pre-signed multipart upload to s3', () => {
  it('sends its parts in any order and completes them', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 11 * MiB, 4, { part_bytes: 5 * MiB })
    harness.destination.check(target.url, target.credentials?.unwrap())

    const upload = await harness.destination.open(target, never)
    await upload.putPart(partAt(3, 1 * MiB), bytes(1 * MiB), never)
    await Promise.all([1, 2].map((number) => upload.putPart(partAt(number, 5 * MiB), bytes(5 * MiB), never)))
    const { location } = await upload.commit(never)

    expect(upload.partBytes).toBe(5 * MiB)
    expect(location).toBe(target.url.href)
    expect(harness.stored(target.url)?.body.equals(Buffer.alloc(11 * MiB, 7))).toBe(true)
    expect(await upload.abort()).toEqual([])
    expect(harness.stored(target.url)).toBeDefined()
  })

  it('is planned by the number of its URLs', async () => {
    await using harness = await s3Harness(hashers)
    const open = async (length: number, parts: number, more = {}, virtual = true) => {
      const target = { ...signedFor(harness, length, multipart('u', parts, more)), virtual }
      return (await harness.destination.open(target, never)).partBytes
    }

    expect(await open(1, 3)).toBe(16 * MiB)
    expect(await open(300 * MiB, 3)).toBe(100 * MiB)
    expect(await open(300 * MiB + 1, 3)).toBe(101 * MiB)
    expect(await open(15 * GiB, 3)).toBe(5 * GiB)
    expect(await open(600 * MiB, 3, { part_bytes: 512 * MiB }, false)).toBe(512 * MiB)
    for (const [parts, more] of [
      [3, {}],
      [30, { part_bytes: 513 * MiB }]
    ] as const) {
      await expect(open(15 * GiB, parts, more, false)).rejects.toMatchObject({
        code: 'DEST_LIMIT_EXCEEDED',
        message: expect.stringContaining('512 MiB')
      })
    }
    await expect(open(15 * GiB + 1, 3)).rejects.toMatchObject({ code: 'DEST_LIMIT_EXCEEDED' })
    await expect(open(11 * MiB, 2, { part_bytes: 5 * MiB })).rejects.toMatchObject({ code: 'DEST_LIMIT_EXCEEDED' })
  })

  it('is asked again when the answer to its completion was lost', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 1000, 1)
    const upload = await harness.destination.open(target, never)
    await upload.putPart(part(1000), bytes(1000), never)
    harness.faults.inject({ kind: 'reset', afterBytes: 1 }, isComplete)

    await upload.commit(never)

    expect(harness.stored(target.url)?.body.length).toBe(1000)
    expect(harness.faults.seen.filter(isComplete)).toHaveLength(2)
  })

  it('is not complete when it is answered 200 with an error', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 1000, 1)
    const upload = await harness.destination.open(target, never)
    await upload.putPart(part(1000), bytes(1000), never)
    harness.faults.inject({ kind: 'answer', status: 200, body: errorBody('InternalError') }, isComplete, 2)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_REJECTED', permanent: false })
    expect(await upload.abort()).toEqual(['multipart upload with 1 part'])
    expect(harness.kept()).toBe(0)
  })

  it('is removed by the state that a dead worker left, and is over then', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 1000, 1)
    const upload = await harness.destination.open(target, never)
    await upload.putPart(part(1000), bytes(1000), never)
    if (upload.state === null) throw new Error('this upload can be removed')

    expect(await harness.destination.discard({ ...target, length: 0 }, upload.state, never)).toEqual([
      'multipart upload'
    ])
    expect(await harness.destination.discard({ ...target, length: 0 }, upload.state, never)).toEqual([])
    await expect(upload.putPart(part(1000), bytes(1000), never)).rejects.toMatchObject({
      code: 'DEST_COMMIT_FAILED',
      permanent: true,
      actor: 'user'
    })
  })

  it('stays as it is where no URL can end it, for the next attempt', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 1000, 1, { abort_url: undefined })
    const upload = await harness.destination.open(target, never)
    await upload.putPart(part(1000), bytes(1000), never)

    expect(await upload.abort()).toEqual([])
    expect(await harness.destination.discard(target, upload.state ?? {}, never)).toEqual([])
    const again = await harness.destination.open(target, never)
    await again.putPart(part(1000), bytes(1000), never)
    await again.commit(never)

    expect(harness.stored(target.url)?.body.length).toBe(1000)
  })

  it.each([
    ['that can be ended', {}],
    ['that nobody can end', { abort_url: undefined }]
  ])('%s is gone on with by another worker, with the parts that were confirmed', async (_, more) => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 11 * MiB, 4, { part_bytes: 5 * MiB, ...more })
    const upload = await harness.destination.open(target, never)
    const sent = [
      await upload.putPart(partAt(3, 1 * MiB), bytes(1 * MiB), never),
      await upload.putPart(partAt(1, 5 * MiB), bytes(5 * MiB), never)
    ]

    const resumed = await harness.anotherWorker().resume?.(target, upload.state ?? {}, sent, never)
    await resumed?.upload.putPart(partAt(2, 5 * MiB), bytes(5 * MiB), never)
    await resumed?.upload.commit(never)

    expect(resumed?.kept).toEqual(sent)
    expect(harness.stored(target.url)?.body.equals(Buffer.alloc(11 * MiB, 7))).toBe(true)
  })

  it('is refused for good when a part is not what was recorded, as nothing can list the parts before', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 1000, 1)
    const upload = await harness.destination.open(target, never)
    const sent = await upload.putPart(part(1000), bytes(1000), never)
    const spoiled = [{ ...sent, tag: '"d41d8cd98f00b204e9800998ecf8427e"' }]

    const resumed = await harness.destination.resume?.(target, upload.state ?? {}, spoiled, never)

    await expect(resumed?.upload.commit(never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED', permanent: true })
    expect(harness.stored(target.url)).toBeUndefined()
  })

  it('that was begun by its user is not ended for an attempt that has sent nothing', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 1000, 1)

    expect(await harness.destination.discard(target, null, never)).toEqual([])
    expect(harness.server.uploads.size).toBe(1)
  })

  it('keeps its URLs to itself when it fails', async () => {
    await using harness = await s3Harness(hashers)
    const target = await begun(harness, 1000, 1)
    const upload = await harness.destination.open(target, never)
    harness.breakNextPart({ kind: 'answer', status: 403, body: errorBody('AccessDenied') })

    const error = await upload.putPart(part(1000), bytes(1000), never).catch((thrown: Error) => thrown)

    expect(error).toMatchObject({ code: 'DEST_FORBIDDEN' })
    expect(String(error)).not.toMatch(/5ec4e7|uploadId|\?|some\/prefix/)
  })
})

describe('s3 check of pre-signed URLs', () => {
  const destination = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints: [] }).forScheme('s3')
  const at = 'https://s3.example.org/exports/a%20b/c'
  const check = (urls: Record<string, unknown>, to = 's3://exports/a%20b/c') =>
    destination.check(new URL(to), { kind: 's3_presigned', ...urls })
  const three = multipart('u', 3)(at) as { parts: string[]; complete_url: string; abort_url: string }

  it.each<[string, Record<string, unknown>]>([
    ['a PUT', putUrl(at)],
    ['a PUT with the bucket in the host', putUrl('https://exports.s3.example.org/a%20b/c')],
    ['a PUT behind a path', putUrl('https://example.org/s3/exports/a%20b/c')],
    ['a multipart upload', three],
    ['a multipart upload that cannot be ended', { ...three, abort_url: undefined }],
    ['a long URL', { put_url: `${at}?${SIGNED}&X-Amz-Security-Token=${'t'.repeat(6000)}` }]
  ])('accepts %s', (_, urls) => {
    expect(() => check(urls)).not.toThrow()
  })

  const INVALID = 'DEST_CREDENTIALS_INVALID'
  it.each<[string, Record<string, unknown>, string, string]>([
    ['nothing', {}, INVALID, 'put_url'],
    ['both forms', { ...three, ...putUrl(at) }, INVALID, 'put_url'],
    ['parts that nothing completes', { parts: three.parts }, INVALID, 'complete_url'],
    ['no part', { ...three, parts: [] }, INVALID, 'parts'],
    ['another key', putUrl('https://s3.example.org/exports/a%20b/d'), INVALID, 'put_url'],
    ['no signature', { put_url: `${at}?x=1` }, INVALID, 'put_url'],
    ['no query', { put_url: at }, INVALID, 'put_url'],
    ['a query that is not encoded', { put_url: `${at}?${SIGNED}&x=<>` }, INVALID, 'put_url'],
    ['a fragment', { put_url: `${at}?${SIGNED}#x` }, INVALID, 'put_url'],
    ['credentials in the URL', putUrl('https://u:p@s3.example.org/exports/a%20b/c'), 'DEST_URL_INVALID', 'put_url'],
    ['a path upwards', putUrl('https://s3.example.org/x/../exports/a%20b/c'), 'DEST_URL_INVALID', 'put_url'],
    ['another scheme', putUrl('ftp://s3.example.org/exports/a%20b/c'), 'DEST_URL_INVALID', 'put_url'],
    [
      'headers that are signed',
      { put_url: `${at}?${SIGNED.replace('=host', '=content-type%3Bhost')}` },
      INVALID,
      'put_url'
    ],
    ['parts in another order', { ...three, parts: three.parts.toReversed() }, INVALID, 'parts/0'],
    ['a part of another upload', { ...three, parts: [three.parts[0]?.replace('Id=u', 'Id=v')] }, INVALID, 'parts/0'],
    ['another upload to end', { ...three, abort_url: three.abort_url.replace('Id=u', 'Id=v') }, INVALID, 'abort_url'],
    ['a part at another host', multipartWithOtherHost(), INVALID, 'parts/1'],
    ['no upload to complete', { ...three, complete_url: `${at}?${SIGNED}` }, INVALID, 'complete_url'],
    ['an address inside', putUrl('https://10.0.0.1/exports/a%20b/c'), 'DEST_ADDRESS_FORBIDDEN', ''],
    ['plain http', putUrl('http://s3.example.org/exports/a%20b/c'), 'DEST_ADDRESS_FORBIDDEN', '']
  ])('refuses %s', (_, urls, code, field) => {
    const pointer = field === '' ? '/export_to_credentials' : `/export_to_credentials/${field}`
    expect(() => check(urls)).toThrow(expect.objectContaining({ code, pointer }))
  })

  it('refuses an export_to that names a bucket only', () => {
    expect(() => check(putUrl('https://s3.example.org/exports/'), 's3://exports')).toThrow(
      expect.objectContaining({ code: INVALID })
    )
  })

  function multipartWithOtherHost() {
    const [first, second = '', third] = three.parts
    return { ...three, parts: [first, second.replace('s3.', 'evil.'), third] }
  }
})
