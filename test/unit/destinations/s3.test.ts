import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, Part, Upload } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { s3CodeIn, s3Failure } from '../../../src/destinations/s3/failures.ts'
import { MAX_OBJECT_BYTES, partBytes } from '../../../src/destinations/s3/parts.ts'
import { GiB, MiB, TiB } from '../../../src/domain/bytes.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination, IMPATIENT, PATIENT } from '../../contracts/destination.contract.ts'
import { type Fault, faultServer } from '../../support/fault-server.ts'
import { s3Server } from '../../support/s3-server.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

const ACCESS_KEY_ID = 'AKIATEST'
const never = new AbortController().signal

async function start(changes: Partial<Credentials> = {}, limits = PATIENT) {
  const server = await s3Server({ buckets: ['exports', 'Exports.Old'], accessKeyId: ACCESS_KEY_ID })
  const faults = await faultServer(server.port)
  const destinations = createDestinations({ hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits })
  const credentials: Credentials = {
    kind: 's3_static',
    access_key_id: ACCESS_KEY_ID,
    secret_access_key: 'a-secret-key',
    endpoint: `http://127.0.0.1:${faults.port}`,
    ...changes
  }
  const stored = (url: URL) => server.objects.get(`/${url.host}${decodeURIComponent(url.pathname)}`)
  return {
    destination: destinations.forScheme('s3'),
    atomic: true,
    server,
    faults,
    credentials,
    stored,
    target: (length: number, prefix = 's3://exports/some/prefix') => ({
      url: new URL(`${prefix}/${randomUUID()}`),
      credentials: new Secret(credentials),
      length,
      exact: true,
      mediaType: 'application/x-test'
    }),
    read: async ({ url }: { url: URL }) => stored(url)?.body,
    kept: () => server.objects.size + server.uploads.size,
    breakNextPart: (fault: Fault) => faults.inject(fault, ({ method }) => method === 'PUT'),
    async [Symbol.asyncDispose]() {
      destinations.close()
      await faults[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
}

describeDestination('s3', (limits) => start({ session_token: 'a-secret-session' }, limits))

async function* bytes(length: number) {
  yield Buffer.alloc(length, 7)
}
const part = (length: number): Part => ({ number: 1, offset: 0, length })
const isComplete = ({ method, url }: { method: string; url: string }) => method === 'POST' && url.includes('uploadId=')
const isHead = ({ method }: { method: string }) => method === 'HEAD'

/** An upload with its only part sent. */
async function sent(harness: Awaited<ReturnType<typeof start>>, length = 1000) {
  const target = harness.target(length)
  const upload = await harness.destination.open(target, never)
  await upload.putPart(part(length), bytes(length), never)
  return { target, upload }
}

const errorBody = (code: string) => `<?xml version="1.0"?><Error><Code>${code}</Code><Message>hostile</Message></Error>`

describe('an s3 object', () => {
  it('has the media type and the mark of its export', async () => {
    await using harness = await start()
    const { target, upload } = await sent(harness)

    await upload.commit(never)

    const exportId = target.url.pathname.split('/').at(-1)
    expect(harness.stored(target.url)).toMatchObject({
      mediaType: 'application/x-test',
      metadata: { 'glance-export-id': exportId }
    })
  })

  it.each(['s3://Exports.Old/p', 's3://exports', 's3://exports/a%20b/%E2%82%AC+(1)'])(
    'can be below %s',
    async (prefix) => {
      await using harness = await start()
      const target = harness.target(5, prefix)
      const upload = await harness.destination.open(target, never)
      await upload.putPart(part(5), bytes(5), never)

      expect(await upload.commit(never)).toBe(target.url.href)
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
      expect(Math.ceil(length / partBytes(length))).toBeLessThanOrEqual(10_000)
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
  ])('accepts an ETag that %s', async (_, headers) => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(1000), never)
    harness.breakNextPart({ kind: 'change headers', headers })

    await expect(upload.putPart(part(1000), bytes(1000), never)).resolves.toBeUndefined()
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

    await expect(upload.putPart(part(1), bytes(1), never)).resolves.toBeUndefined()
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
  const failing = async (
    fault: Fault,
    then?: (harness: Awaited<ReturnType<typeof start>>, upload: Upload) => Promise<void>
  ) => {
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

    await expect(upload.commit(never)).resolves.toBe(target.url.href)
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
    const { target, upload } = await sent(harness)
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
    harness.faults.inject({ kind: 'answer', status: 403 }, isHead)

    await expect(upload.commit(never)).resolves.toBe(target.url.href)
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

describe('s3 check', () => {
  const destination = createDestinations({
    hashers,
    allowedNetworks: [],
    allowedEndpoints: ['http://127.0.0.1:9000']
  }).forScheme('s3')
  const keys = { kind: 's3_static', access_key_id: 'a', secret_access_key: 'b' }

  it.each<[string, Credentials]>([
    ['s3://exports/p', keys],
    ['s3://exports', { ...keys, region: 'eu-west-1' }],
    ['s3://exports/p', { ...keys, endpoint: 'https://s3.example.org', addressing_style: 'virtual' }],
    ['s3://exports/p', { ...keys, endpoint: 'http://127.0.0.1:9000' }],
    ['s3://Old.Bucket/p', keys]
  ])('accepts %s with %o', (url, credentials) => {
    expect(() => destination.check(new URL(url), credentials)).not.toThrow()
  })

  it.each<[string, Credentials | undefined, string, string]>([
    ['s3://exports/p', undefined, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/kind'],
    ['s3://exports/p', { kind: 'basic' }, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/kind'],
    [
      's3://exports/p',
      { kind: 's3_static', access_key_id: 'a' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/secret_access_key'
    ],
    [
      's3://exports/p',
      { ...keys, session_token: 'a b' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/session_token'
    ],
    [
      's3://exports/p',
      { ...keys, region: 'x.attacker.example/' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/region'
    ],
    [
      's3://exports/p',
      { ...keys, addressing_style: 'other' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/addressing_style'
    ],
    [
      's3://Exports/p',
      { ...keys, addressing_style: 'virtual' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/addressing_style'
    ],
    ['s3://ab/p', keys, 'DEST_URL_INVALID', '/export_to'],
    ['s3://exports:9000/p', keys, 'DEST_URL_INVALID', '/export_to'],
    [`s3://exports/${'k'.repeat(1025)}`, keys, 'DEST_URL_INVALID', '/export_to'],
    ['s3://exports/p', { ...keys, endpoint: 'ftp://h' }, 'DEST_URL_INVALID', '/export_to_credentials/endpoint'],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://user:pw@h.example' },
      'DEST_URL_INVALID',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://h.example/path' },
      'DEST_URL_INVALID',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://169.254.169.254' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://minio:9000' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'http://s3.example.org' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://s3.example.org:9000' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ]
  ])('refuses %s with %o', (url, credentials, code, pointer) => {
    expect(() => destination.check(new URL(url), credentials)).toThrow(expect.objectContaining({ code, pointer }))
  })
})

describe('s3 failures', () => {
  it.each<[string, number, string, boolean]>([
    ['NoSuchBucket', 404, 'DEST_CONTAINER_NOT_FOUND', true],
    ['AccessDenied', 403, 'DEST_FORBIDDEN', true],
    ['SignatureDoesNotMatch', 403, 'DEST_AUTH_FAILED', true],
    ['InvalidAccessKeyId', 403, 'DEST_AUTH_FAILED', true],
    ['ExpiredToken', 400, 'DEST_AUTH_FAILED', true],
    ['RequestTimeTooSkewed', 403, 'DEST_AUTH_FAILED', false],
    ['SlowDown', 400, 'DEST_THROTTLED', false],
    ['EntityTooLarge', 400, 'DEST_LIMIT_EXCEEDED', true],
    ['EntityTooSmall', 400, 'DEST_REJECTED', true],
    ['QuotaExceeded', 403, 'DEST_QUOTA_EXCEEDED', true],
    ['RequestTimeout', 400, 'DEST_UNREACHABLE', false],
    ['InternalError', 200, 'DEST_REJECTED', false],
    ['BadDigest', 400, 'DEST_INTEGRITY_MISMATCH', false],
    ['PermanentRedirect', 301, 'DEST_REJECTED', true],
    ['AuthorizationHeaderMalformed', 400, 'DEST_REJECTED', true],
    ['NoSuchUpload', 404, 'DEST_COMMIT_FAILED', false],
    ['SomethingNew', 403, 'DEST_FORBIDDEN', true],
    ['constructor', 500, 'DEST_REJECTED', false]
  ])('%s with %d is %s', (s3Code, status, code, permanent) => {
    expect(s3Failure('h', s3CodeIn(errorBody(s3Code)), status)).toMatchObject({
      code,
      permanent,
      upstreamStatus: status
    })
  })
})
