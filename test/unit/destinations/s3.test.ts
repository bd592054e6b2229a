import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, Upload } from '../../../src/destinations/destination.ts'
import { MAX_OBJECT_BYTES, partBytes, planOf } from '../../../src/destinations/s3/parts.ts'
import { GiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination, IMPATIENT, PATIENT } from '../../contracts/destination.contract.ts'
import type { Fault } from '../../support/fault-server.ts'
import { bytes, errorBody, isComplete, isHead, part, type S3Harness, s3Harness, sent } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

const never = new AbortController().signal
const start = (changes: Partial<Credentials> = {}, limits = PATIENT) => s3Harness(hashers, changes, limits)

describeDestination('s3', (limits) => start({ session_token: 'a-secret-session' }, limits))

describe('an s3 object', () => {
  it('has the media type and the mark of its export', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)

    await upload.commit(never)

    expect(harness.stored(target.url)).toMatchObject({
      mediaType: 'application/x-test',
      metadata: { 'glance-export-id': target.marks.exportId }
    })
  })

  it.each(['s3://Exports.Old/p', 's3://exports', 's3://exports/a%20b/%E2%82%AC+(1)'])(
    'can be below %s',
    async (prefix) => {
      await using harness = await start()
      const target = harness.target(5, prefix)
      const upload = await harness.destination.open(target, never)
      await upload.putPart(part(5), bytes(5), never)

      expect((await upload.commit(never)).location).toBe(target.url.href)
      expect(await harness.read(target)).toEqual(Buffer.alloc(5, 7))
    }
  )
})

describe('s3 parts', () => {
  it.each([
    [1, 16 * MiB],
    [9_000 * 16 * MiB, 16 * MiB],
    [9_000 * 16 * MiB + 1, 17 * MiB],
    [9_000 * 5 * GiB, 5 * GiB],
    [MAX_OBJECT_BYTES, 5 * GiB]
  ])('of a file of %d bytes have %d bytes', (length, expected) => {
    expect(partBytes(length)).toBe(expected)
  })

  it('never need more than 10,000', () => {
    for (const length of [1, 140 * GiB + 1, TiB, 20 * TiB + 1, 45 * TiB, MAX_OBJECT_BYTES]) {
      expect(planOf(length).parts).toBeLessThanOrEqual(10_000)
      expect(planOf(length).parts * partBytes(length)).toBeGreaterThanOrEqual(length)
    }
  })

  it('refuses a file that S3 cannot hold, before it asks S3', async () => {
    await using harness = await start()

    await expect(harness.destination.open(harness.target(MAX_OBJECT_BYTES + 1), never)).rejects.toMatchObject({
      code: 'DEST_LIMIT_EXCEEDED',
      permanent: true
    })
    expect(harness.faults.seen).toEqual([])
  })

  it('notices bytes that changed on the way', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(1000), never)
    harness.breakNextPart({ kind: 'corrupt', atByte: 999 })

    await expect(upload.putPart(part(1000), bytes(1000), never)).rejects.toMatchObject({
      code: 'DEST_INTEGRITY_MISMATCH',
      permanent: false
    })
  })

  it.each<[string, Record<string, string>]>([
    ['is not an MD5', { etag: '"opaque-tag"' }],
    ['belongs to a KMS key', { etag: `"${'0'.repeat(32)}"`, 'x-amz-server-side-encryption': 'aws:kms' }]
  ])("accepts an ETag that %s, gives it as the part's tag, and says that it shows nothing", async (_, headers) => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(1000), never)
    harness.breakNextPart({ kind: 'change headers', headers })

    const sentPart = await upload.putPart(part(1000), bytes(1000), never)

    expect(sentPart).toEqual({ number: 1, bytes: 1000, tag: headers.etag })
    expect(upload.unproved).toBe(true)
  })

  it('does not accept an answer without an ETag', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(1), never)
    harness.breakNextPart({ kind: 'change headers', headers: { etag: undefined } })

    await expect(upload.putPart(part(1), bytes(1), never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
  })

  it('may be sent again when the answer was lost', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(1), never)
    harness.breakNextPart({ kind: 'lose answer' })
    await expect(upload.putPart(part(1), bytes(1), never)).rejects.toMatchObject({ code: 'DEST_UNREACHABLE' })

    await expect(upload.putPart(part(1), bytes(1), never)).resolves.toMatchObject({ number: 1 })
  })

  it('keeps the signed URL to itself', async () => {
    await using harness = await start()
    await sent(harness)

    const [signed] = harness.faults.seen.filter(({ method }) => method === 'PUT')
    expect(signed?.url).toContain('X-Amz-Signature=')
    expect(signed?.url).not.toContain('a-secret-key')
    expect(signed?.url.toLowerCase()).not.toContain('checksum')
  })
})

describe('s3 commit', () => {
  const failing = async (fault: Fault, then?: (harness: S3Harness, upload: Upload) => Promise<unknown>) => {
    await using harness = await start({}, fault.kind === 'hang' ? IMPATIENT : PATIENT)
    const { target, upload } = await sent(harness)
    harness.faults.inject(fault, isComplete)
    const outcome = await upload.commit(never).then(
      () => 'committed',
      (error: unknown) => error
    )
    await then?.(harness, upload)
    return { outcome, object: harness.stored(target.url), kept: harness.kept() }
  }

  it('that was carried out although its answer was lost is a success', async () => {
    expect(await failing({ kind: 'lose answer' })).toMatchObject({ outcome: 'committed', kept: 1 })
  })

  it('that finds no upload any more is a success when the object is there', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)
    await upload.commit(never)

    await expect(upload.commit(never)).resolves.toMatchObject({ location: target.url.href })
  })

  it.each<[string, Fault, object]>([
    [
      'is answered 200 with an error',
      { kind: 'answer', status: 200, body: errorBody('InternalError') },
      { code: 'DEST_REJECTED', permanent: false }
    ],
    [
      'is refused',
      { kind: 'answer', status: 403, body: errorBody('AccessDenied') },
      { code: 'DEST_FORBIDDEN', permanent: true }
    ],
    ['is not answered', { kind: 'hang' }, { code: 'DEST_UNREACHABLE', permanent: false }],
    ['is reset before it is done', { kind: 'reset', afterBytes: 1 }, { code: 'DEST_UNREACHABLE', permanent: false }],
    [
      'finds the upload gone',
      { kind: 'answer', status: 404, body: errorBody('NoSuchUpload') },
      { code: 'DEST_COMMIT_FAILED', permanent: false }
    ],
    [
      'fails to find a part',
      { kind: 'answer', status: 400, body: errorBody('InvalidPart') },
      { code: 'DEST_COMMIT_FAILED', permanent: false }
    ]
  ])('that %s fails, and abort leaves nothing', async (_, fault, expected) => {
    const { outcome, object, kept } = await failing(fault, (_harness, upload) => upload.abort())

    expect(outcome).toMatchObject(expected)
    expect(object).toBeUndefined()
    expect(kept).toBe(0)
  })

  it('says that it does not know when nobody can tell, and abort leaves the whole object alone', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness, 1000, { object: { replace: true } })
    harness.faults.inject({ kind: 'lose answer' }, isComplete)
    harness.faults.inject({ kind: 'answer', status: 500 }, isHead)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED', permanent: false })
    await upload.abort()

    expect(harness.stored(target.url)?.body.length).toBe(1000)
  })

  it('fails for an object of another length, and abort removes it', async () => {
    await using harness = await start()
    const target = harness.target(2000)
    const upload = await harness.destination.open(target, never)
    await upload.putPart(part(1000), bytes(1000), never)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
    await upload.abort()

    expect(harness.kept()).toBe(0)
  })

  it('succeeds with credentials that may not read', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)
    harness.faults.inject({ kind: 'answer', status: 403 }, isHead, 9)

    await expect(upload.commit(never)).resolves.toMatchObject({ location: target.url.href })
  })

  it('stops when the signal fires', async () => {
    await using harness = await start()
    const { upload } = await sent(harness)
    const stop = new AbortController()
    harness.faults.inject({ kind: 'hang' }, (request) => {
      if (isComplete(request)) setImmediate(() => stop.abort(new Error('lease lost')))
      return isComplete(request)
    })

    await expect(upload.commit(stop.signal)).rejects.toThrow('lease lost')
  })
})

describe('s3 open', () => {
  it.each<[string, Partial<Credentials>, string, object]>([
    ['bucket', {}, 's3://missing/p', { code: 'DEST_CONTAINER_NOT_FOUND', permanent: true, upstreamStatus: 404 }],
    [
      'key',
      { access_key_id: 'AKIAOTHER' },
      's3://exports/p',
      { code: 'DEST_AUTH_FAILED', permanent: true, upstreamStatus: 403 }
    ]
  ])('names the unknown %s', async (_, changes, prefix, expected) => {
    await using harness = await start(changes)

    await expect(harness.destination.open(harness.target(1, prefix), never)).rejects.toMatchObject(expected)
  })

  it('asks once: trying again is not its business', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status: 503, body: errorBody('SlowDown') }, () => true, 9)

    await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({ code: 'DEST_THROTTLED' })
    expect(harness.faults.seen).toHaveLength(1)
  })

  it('does not follow the bucket to another region', async () => {
    await using harness = await start()
    const headers = { location: 'http://169.254.169.254/', 'x-amz-bucket-region': 'eu-west-1' }
    harness.faults.inject({ kind: 'answer', status: 301, headers, body: errorBody('PermanentRedirect') })

    await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
      code: 'DEST_REJECTED',
      permanent: true
    })
    expect(harness.faults.seen).toHaveLength(1)
  })

  it('reads no more than a little of an endless answer', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'endless answer', status: 200 })

    await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
      code: expect.stringMatching(/^DEST_/)
    })
  })
})

describe('s3 commit, when nothing may be replaced', () => {
  const isOther = { metadata: {}, storageClass: undefined, encryption: undefined, tags: {}, mediaType: 'x/y' }
  const other = { ...isOther, body: Buffer.from('older'), etag: 'e' }
  const place = ({ url }: { url: URL }) => `/${url.host}${url.pathname}`

  it('leaves an older object alone without asking for more', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)
    harness.server.objects.set(place(target), other)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
    expect(harness.faults.seen.filter(isComplete)).toEqual([])
    expect(await upload.abort()).toEqual(['multipart upload with 1 part'])
    expect(harness.stored(target.url)).toBe(other)
  })

  it('leaves alone an object that appears in the last moment', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)
    harness.server.objects.set(place(target), other)
    harness.faults.inject({ kind: 'answer', status: 404 }, isHead)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', upstreamStatus: 412 })
    await upload.abort()

    expect(harness.stored(target.url)).toBe(other)
    expect(harness.server.uploads.size).toBe(0)
  })

  it('takes an object in the way for done when it is the one it has made', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)
    const metadata = { 'glance-export-id': target.marks.exportId }
    harness.server.objects.set(place(target), { ...other, metadata, body: Buffer.alloc(1000, 7) })

    await expect(upload.commit(never)).resolves.toMatchObject({ location: target.url.href })
    expect(harness.faults.seen.filter(isComplete)).toHaveLength(1)
  })

  it('asks a store that does not know the condition without it', async () => {
    await using harness = await s3Harness(hashers, {}, PATIENT, { refusesConditions: true })
    const { target, upload } = await sent(harness)

    await upload.commit(never)

    expect(harness.stored(target.url)?.body.length).toBe(1000)
    expect(harness.faults.seen.filter(isComplete)).toHaveLength(2)
  })

  it('replaces when it may', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness, 1000, { object: { replace: true } })
    harness.server.objects.set(place(target), other)

    await upload.commit(never)

    expect(harness.stored(target.url)?.body.length).toBe(1000)
  })
})

describe('s3 abort', () => {
  const isAbort = ({ method, url }: { method: string; url: string }) => method === 'DELETE' && url.includes('uploadId=')

  it('is repeated while the store still knows a part', async () => {
    await using harness = await start()
    const { upload } = await sent(harness)
    harness.faults.inject({ kind: 'answer', status: 204 }, isAbort)

    expect(await upload.abort()).toEqual(['multipart upload with 1 part'])

    expect(harness.faults.seen.filter(isAbort)).toHaveLength(2)
    expect(harness.kept()).toBe(0)
  })

  it('says that there was nothing to remove', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)

    const removed = [await upload.abort(), await upload.abort()]
    const discarded = await harness.destination.discard(target, { uploadId: 'long-gone' }, never)

    expect(removed).toEqual([['multipart upload with 1 part'], []])
    expect(discarded).toEqual([])
  })

  it('tells that it failed', async () => {
    await using harness = await start()
    const { upload } = await sent(harness)
    harness.faults.inject({ kind: 'answer', status: 403, body: errorBody('AccessDenied') }, isAbort)

    await expect(upload.abort()).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
  })
})
