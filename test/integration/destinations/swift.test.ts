import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { DestinationError } from '../../../src/domain/destination-errors.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { IMPATIENT } from '../../contracts/destination.contract.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startSwift } from '../../peers/swift.ts'
import { breakStep, type Fault } from '../../support/fault-server.ts'
import { TestAccount } from './swift-account.ts'
import { bytes, chunksOf, isManifest, never, readAll, sent, stored, swiftHarness } from './swift-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

const tempauth = (port: number, changes: Partial<Credentials> = {}): Credentials => ({
  kind: 'tempauth',
  auth_url: `http://127.0.0.1:${port}/auth/v1.0`,
  user: 'test:tester',
  key: 'testing',
  ...changes
})
const isLogin = ({ url }: { url: string }) => url.startsWith('/auth/')
/** Just above what one request takes: two segments. */
const LARGE = 16 * MiB + 5
const large = bytes(LARGE)

describeWithPeers(['swift'], 'swift', () => {
  let account: TestAccount
  beforeAll(async () => {
    account = await TestAccount.v1((await startSwift()).authUrl, 'test:tester', 'testing')
  })
  const start = (changes: Partial<Parameters<typeof swiftHarness>[0]> = {}) =>
    swiftHarness({ hashers, account, credentials: tempauth, ...changes })
  type Harness = Awaited<ReturnType<typeof start>>

  /** The object of `other`, to be written by an export of its own. */
  const sameObject = (harness: Harness, other: UploadTarget, length: number, replace: boolean): UploadTarget =>
    harness.target(length, { url: other.url, object: { replace } })

  describe('an object', () => {
    it.each([
      ['in one request', 10],
      ['in segments', LARGE]
    ])('%s keeps its media type, its marks and what the user asked for', async (_, length) => {
      await using harness = await start()
      const metadata = { 'Built-By': 'Jürgen & Söhne', purpose: 'x' }
      const target = harness.target(length, { object: { replace: false, metadata } })

      await stored(harness.destination, target, large.subarray(0, length))

      expect(await account.head(harness.pathOf(target))).toMatchObject({
        'content-type': 'application/x-test',
        'content-length': String(length),
        'x-object-meta-glance-export-id': target.marks.exportId,
        'x-object-meta-glance-export-content': target.marks.contentId,
        'x-object-meta-built-by': Buffer.from('Jürgen & Söhne').toString('latin1'),
        'x-object-meta-purpose': 'x'
      })
    })

    it('and all its segments are removed at one point in time', async () => {
      await using harness = await start()
      const target = harness.target(LARGE, { object: { replace: false, delete_after_seconds: 3600 } })
      const before = Date.now() / 1000

      await stored(harness.destination, target, large)

      const at = (await account.head(harness.pathOf(target)))?.['x-delete-at']
      expect(Number(at)).toBeGreaterThanOrEqual(before + 3600)
      expect(Number(at)).toBeLessThanOrEqual(Date.now() / 1000 + 3601)
      const segments = await harness.segments()
      expect(segments).toHaveLength(2)
      for (const name of segments) {
        expect((await account.head(`/${harness.container}_segments/${encodeURI(name)}`))?.['x-delete-at']).toBe(at)
      }
    })

    it('in one request is removed too', async () => {
      await using harness = await start()
      const target = harness.target(3, { object: { replace: false, delete_after_seconds: 60 } })

      await stored(harness.destination, target, Buffer.from('abc'))

      expect(Number((await account.head(harness.pathOf(target)))?.['x-delete-at'])).toBeGreaterThan(Date.now() / 1000)
    })

    it('may be in an account that is named as its user names it', async () => {
      await using harness = await start({ named: 'test' })
      const target = harness.target(3)

      await stored(harness.destination, target, Buffer.from('abc'))

      expect(await readAll(harness.destination, target, 3)).toEqual(Buffer.from('abc'))
      expect(await account.list(harness.container)).toEqual([`a folder/${target.marks.exportId}`])
    })

    it('has segments below its own name and its export, in the container that the swift client would take', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)

      await stored(harness.destination, target, large)

      const { exportId } = target.marks
      expect(await harness.segments()).toEqual(
        ['00000001', '00000002'].map((number) => `a folder/${exportId}/${exportId}/${number}`)
      )
    })
  })

  describe('replacing', () => {
    it.each([
      ['segments by segments', LARGE, LARGE, 2],
      ['segments by one request', LARGE, 10, 0],
      ['one request by segments', 10, LARGE, 2]
    ])('%s leaves no old segment', async (_, oldLength, newLength, segments) => {
      await using harness = await start()
      const old = harness.target(oldLength)
      await stored(harness.destination, old, large.subarray(0, oldLength))
      const next = sameObject(harness, old, newLength, true)
      const content = bytes(newLength, 7)

      await stored(harness.destination, next, content)

      expect((await harness.read(next))?.equals(content)).toBe(true)
      const left = await harness.segments()
      expect(left).toHaveLength(segments)
      expect(left.every((name) => name.includes(next.marks.exportId))).toBe(true)
    })

    it('by the same export keeps the segments, which are the same', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      await stored(harness.destination, target, large)

      await stored(harness.destination, target, large)

      expect((await harness.read(target))?.equals(large)).toBe(true)
      expect(await harness.segments()).toHaveLength(2)
    })

    it.each([
      ['in one request', 10],
      ['in segments', LARGE]
    ])('is refused %s when it is not wanted, and nothing is left', async (_, length) => {
      await using harness = await start()
      const old = harness.target(LARGE)
      await stored(harness.destination, old, large)
      const upload = await harness.destination.open(sameObject(harness, old, length, false), never)

      const sending = (async () => {
        await upload.putPart({ number: 1, offset: 0, length: 10 }, chunksOf(bytes(10)), never)
        await upload.commit(never)
      })()

      await expect(sending).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
      await upload.abort()
      expect((await harness.read(old))?.equals(large)).toBe(true)
      expect(await harness.segments()).toHaveLength(2)
    })

    it('an object that appears while the manifest is sent is refused by Swift', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await sent(harness.destination, target, large)
      harness.faults.inject(
        { kind: 'answer', status: 404 },
        ({ method, url }) => method === 'HEAD' && !url.includes('_segments')
      )
      await account.put(harness.pathOf(target), 'of another')

      await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
      await upload.abort()

      expect(await harness.read(target)).toEqual(Buffer.from('of another'))
      expect(await harness.segments()).toEqual([])
    })
  })

  describe('what is left', () => {
    it('is counted when it is removed', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await sent(harness.destination, target, large)

      expect(await upload.abort()).toEqual(['2 segments'])
      expect(await harness.segments()).toEqual([])
    })

    it('by a dead worker is found by its name, segments and published object alike', async () => {
      await using harness = await start()
      const unpublished = harness.target(LARGE)
      await sent(harness.destination, unpublished, large)
      const published = harness.target(LARGE)
      await stored(harness.destination, published, large)
      const of = (target: UploadTarget) => harness.destination.discard({ ...target, length: 0 }, {}, never)

      expect(await of(unpublished)).toEqual(['2 segments'])
      expect(await of(published)).toEqual(['object'])

      expect(await harness.segments()).toEqual([])
      expect(await harness.kept()).toBe(0)
    })

    it('is removed one by one where nothing is said of bulk deletes', async () => {
      await using harness = await start()
      harness.faults.inject({ kind: 'answer', status: 404 }, ({ url }) => url === '/info')
      const upload = await sent(harness.destination, harness.target(LARGE), large)

      expect(await upload.abort()).toEqual(['2 segments'])
      expect(harness.faults.seen.filter(({ url }) => url.includes('bulk-delete'))).toEqual([])
      expect(await harness.segments()).toEqual([])
    })

    it('is not a manifest whose segments are gone, when another worker has published it meanwhile', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await sent(harness.destination, target, large)
      await stored(harness.destination, target, large)

      expect(await upload.abort()).toEqual(['2 segments'])

      expect(await harness.destination.find(target, never)).toEqual({ status: 'absent' })
      expect(await harness.kept()).toBe(0)
    })

    it('of another export is not touched', async () => {
      await using harness = await start()
      const theirs = harness.target(LARGE)
      await stored(harness.destination, theirs, large)
      const ours = sameObject(harness, theirs, 10, true)

      expect(await harness.destination.discard(ours, {}, never)).toEqual([])
      expect((await harness.read(theirs))?.equals(large)).toBe(true)
    })

    it('after an incomplete removal of an object is told, though the answer is 200', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      await stored(harness.destination, target, large)
      const body = JSON.stringify({
        'Number Deleted': 1,
        Errors: [['/c/x', '403 Forbidden']],
        'Response Status': '400 Bad Request'
      })
      harness.faults.inject({ kind: 'answer', status: 200, body }, ({ method }) => method === 'DELETE')

      await expect(harness.destination.remove(target, never)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    })
  })

  describe('a manifest', () => {
    it('is refused when a segment is not what was sent, and abort leaves nothing', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await sent(harness.destination, target, large)
      const [first = ''] = await harness.segments()
      await account.put(`/${harness.container}_segments/${encodeURI(first)}`, bytes(16 * MiB, 1))

      await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
      expect(await upload.abort()).toEqual(['2 segments'])

      expect(await harness.kept()).toBe(0)
    })

    it('is refused when a segment is gone', async () => {
      await using harness = await start()
      const upload = await sent(harness.destination, harness.target(LARGE), large)
      const [first = ''] = await harness.segments()
      await account.call('DELETE', `/${harness.container}_segments/${encodeURI(first)}`)

      await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED', permanent: false })
      expect(await upload.abort()).toEqual(['1 segment'])
    })

    it('that was taken although its answer was lost is a success', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await sent(harness.destination, target, large)
      harness.faults.inject({ kind: 'lose answer' }, isManifest)

      await expect(upload.commit(never)).resolves.toMatchObject({ location: target.url.href })
      expect(await upload.abort()).toEqual([])
      expect((await harness.read(target))?.equals(large)).toBe(true)
    })

    it('of which nobody heard can be sent again, and the segments of the object that it replaced are removed', async () => {
      await using harness = await start()
      const older = harness.target(LARGE)
      await stored(harness.destination, older, bytes(LARGE, 1))
      const target = sameObject(harness, older, LARGE, true)
      const upload = await sent(harness.destination, target, large)
      breakStep(harness.faults, 'unheard', isManifest, ({ method }) => method === 'HEAD')

      await expect(upload.commit(never)).rejects.toMatchObject({ permanent: false })
      await upload.commit(never)

      expect((await harness.read(target))?.equals(large)).toBe(true)
      expect(await harness.segments()).toHaveLength(2)
    })

    it.each<[string, Fault, object]>([
      [
        'is answered 202 with errors',
        {
          kind: 'answer',
          status: 202,
          body: ` \r\n\r\n${JSON.stringify({ 'Response Status': '400 Bad Request', Errors: [['/c/x', 'Etag Mismatch']] })}`
        },
        { code: 'DEST_INTEGRITY_MISMATCH', permanent: false }
      ],
      [
        'is answered 202 and no more',
        { kind: 'answer', status: 202, body: ' ' },
        { code: 'DEST_COMMIT_FAILED', permanent: false }
      ],
      [
        'is over a quota',
        {
          kind: 'answer',
          status: 202,
          body: JSON.stringify({
            'Response Status': '413 Request Entity Too Large',
            'Response Body': 'Upload exceeds quota.'
          })
        },
        { code: 'DEST_QUOTA_EXCEEDED', permanent: true }
      ],
      ['is refused', { kind: 'answer', status: 403 }, { code: 'DEST_FORBIDDEN', permanent: true }],
      [
        'meets an error',
        { kind: 'answer', status: 503, headers: { 'retry-after': '7' } },
        { code: 'DEST_THROTTLED', retryAfterMs: 7000 }
      ],
      ['is reset', { kind: 'reset', afterBytes: 1 }, { code: 'DEST_UNREACHABLE', permanent: false }]
    ])('that %s fails, and abort leaves nothing', async (_, fault, expected) => {
      await using harness = await start()
      const upload = await sent(harness.destination, harness.target(LARGE), large)
      harness.faults.inject(fault, isManifest)

      await expect(upload.commit(never)).rejects.toMatchObject(expected)
      expect(await upload.abort()).toEqual(['2 segments'])

      expect(await harness.kept()).toBe(0)
    })

    it('of which nobody can say what became leaves a whole object alone', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await sent(harness.destination, target, large)
      let published = false
      harness.faults.inject({ kind: 'lose answer' }, (request) => {
        published ||= isManifest(request)
        return isManifest(request)
      })
      harness.faults.inject({ kind: 'answer', status: 500 }, ({ method }) => published && method === 'HEAD')

      await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED', permanent: false })
      expect(await upload.abort()).toEqual([])

      expect((await harness.read(target))?.equals(large)).toBe(true)
    })
  })

  describe('a part', () => {
    it('that changed on the way is noticed, and the object it made is removed', async () => {
      await using harness = await start()
      const upload = await harness.destination.open(harness.target(1000), never)
      harness.breakNextPart({ kind: 'corrupt', atByte: 999 })

      const sending = upload.putPart({ number: 1, offset: 0, length: 1000 }, chunksOf(bytes(1000)), never)

      await expect(sending).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
      expect(await upload.abort()).toEqual(['object'])
      expect(await harness.kept()).toBe(0)
    })

    it.each([
      ['in one request', 1000],
      ['in segments', LARGE]
    ])('whose answer was lost may be sent again, %s', async (_, length) => {
      await using harness = await start()
      const target = harness.target(length)
      const upload = await harness.destination.open(target, never)
      harness.breakNextPart({ kind: 'lose answer' })
      const part = { number: 1, offset: 0, length: 1000 }
      await expect(upload.putPart(part, chunksOf(bytes(1000)), never)).rejects.toMatchObject({
        code: 'DEST_UNREACHABLE'
      })

      await upload.putPart(part, chunksOf(bytes(1000)), never)
      await upload.commit(never)

      expect(await harness.read(target)).toEqual(bytes(1000))
      expect(await harness.kept()).toBe(1)
    })

    it('finds the container for segments gone, makes it and may be sent again', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await harness.destination.open(target, never)
      await account.call('DELETE', `/${harness.container}_segments`)
      const part = { number: 1, offset: 0, length: 1000 }

      await expect(upload.putPart(part, chunksOf(bytes(1000)), never)).rejects.toMatchObject({ permanent: false })
      await upload.putPart(part, chunksOf(bytes(1000)), never)
      await upload.commit(never)

      expect(await harness.read(target)).toEqual(bytes(1000))
    })

    it('carries how long the cluster wants to be left alone', async () => {
      await using harness = await start()
      const upload = await harness.destination.open(harness.target(1), never)
      harness.breakNextPart({ kind: 'answer', status: 498, headers: { 'retry-after': '3' } })

      await expect(
        upload.putPart({ number: 1, offset: 0, length: 1 }, chunksOf(bytes(1)), never)
      ).rejects.toMatchObject({
        code: 'DEST_THROTTLED',
        permanent: false,
        retryAfterMs: 3000
      })
    })
  })

  describe('a token', () => {
    it('that expires while parts are sent is renewed, and the part may be sent again', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await harness.destination.open(target, never)
      harness.breakNextPart({ kind: 'answer', status: 401 })
      const parts = [
        { number: 1, offset: 0, length: 16 * MiB },
        { number: 2, offset: 16 * MiB, length: 5 }
      ]
      const put = (index: number) => {
        const part = parts[index]
        if (part === undefined) throw new Error('no such part')
        return upload.putPart(part, chunksOf(large.subarray(part.offset, part.offset + part.length)), never)
      }

      await expect(put(0)).rejects.toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: false, upstreamStatus: 401 })
      await Promise.all([put(0), put(1)])
      await upload.commit(never)

      expect(harness.faults.seen.filter(isLogin)).toHaveLength(2)
      expect((await harness.read(target))?.equals(large)).toBe(true)
    })

    it('that expires before the manifest is renewed without anybody noticing', async () => {
      await using harness = await start()
      const target = harness.target(LARGE)
      const upload = await sent(harness.destination, target, large)
      harness.faults.inject({ kind: 'answer', status: 401 }, isManifest)
      harness.faults.inject({ kind: 'answer', status: 401 }, (request) => request.method === 'GET' && !isLogin(request))

      await upload.commit(never)

      expect(harness.faults.seen.filter(isLogin)).toHaveLength(2)
      expect((await readAll(harness.destination, target, LARGE)).equals(large)).toBe(true)
      expect(harness.faults.seen.filter(isLogin)).toHaveLength(3)
    })

    it('that was never accepted is not renewed', async () => {
      await using harness = await start()
      harness.faults.inject(
        { kind: 'answer', status: 401 },
        (request) => !isLogin(request) && request.url !== '/info',
        9
      )
      const upload = await harness.destination.open(harness.target(10), never)

      await expect(
        upload.putPart({ number: 1, offset: 0, length: 10 }, chunksOf(bytes(10)), never)
      ).rejects.toMatchObject({
        code: 'DEST_AUTH_FAILED',
        permanent: true
      })
      expect(harness.faults.seen.filter(isLogin)).toHaveLength(1)
    })

    it('serves everything that is done with the same credentials', async () => {
      await using harness = await start()
      const credentials = new Secret(tempauth(harness.faults.port))
      const target = harness.target(10, { credentials })

      await stored(harness.destination, target, bytes(10))
      await harness.destination.find({ ...target }, never)

      expect(harness.faults.seen.filter(isLogin)).toHaveLength(1)
    })
  })

  describe('where it leads', () => {
    it.each(['http://169.254.169.254/v1/AUTH_test', 'http://127.0.0.1.example.internal/v1/AUTH_test'])(
      'is guarded when the login says %s',
      async (storage) => {
        await using harness = await start()
        harness.faults.inject({ kind: 'change headers', headers: { 'x-storage-url': storage } }, isLogin)

        await expect(harness.destination.find(harness.target(1), never)).rejects.toMatchObject({
          code: expect.stringMatching(/^DEST_(ADDRESS_FORBIDDEN|DNS_FAILED)$/)
        })
      }
    )

    it('is the account that export_to names and no other', async () => {
      await using harness = await start({ named: 'AUTH_test2' })

      await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
        code: 'DEST_FORBIDDEN',
        permanent: true
      })
    })

    it.each<[string, Partial<Credentials>, object]>([
      ['key', { key: 'wrong' }, { code: 'DEST_AUTH_FAILED', permanent: true, upstreamStatus: 401 }],
      ['auth_url', { auth_url: '/nothing' }, { code: 'DEST_AUTH_FAILED', permanent: true }]
    ])('is not told to whom has the wrong %s', async (_, changes, expected) => {
      await using harness = await start({
        credentials: (port) => {
          const { auth_url: path, ...others } = changes
          const authUrl = path === undefined ? {} : { auth_url: `http://127.0.0.1:${port}${String(path)}` }
          return tempauth(port, { ...others, ...authUrl })
        }
      })

      const error = await harness.destination.open(harness.target(1), never).catch((thrown: unknown) => thrown)

      expect(error).toBeInstanceOf(DestinationError)
      expect(error).toMatchObject(expected)
      expect(String(error)).not.toContain('wrong')
    })

    it('stops when the signal fires while the login is silent', async () => {
      await using harness = await start({ limits: IMPATIENT })
      harness.faults.inject({ kind: 'hang' }, isLogin)
      const stop = new AbortController()
      const finding = harness.destination.find(harness.target(1), stop.signal)
      setTimeout(() => stop.abort(new Error('lease lost')), 50)

      await expect(finding).rejects.toThrow('lease lost')
    })
  })

  describe('checks', () => {
    const run = async (harness: Harness, target: UploadTarget) => {
      const facts: Record<string, unknown> = {}
      for (const check of harness.destination.checks(target)) facts[check.id] = await check.run(never)
      return facts
    }

    it('tell what they have found', async () => {
      await using harness = await start()

      expect(await run(harness, harness.target(100 * MiB))).toEqual({
        'dest.auth': { object_store: `127.0.0.1:${harness.faults.port}`, expires_at: expect.stringMatching(/^20.*Z$/) },
        'dest.container': { container: harness.container, segments_container: 'will be made' },
        'dest.limits': { how: 'segments', parts: 7, part_bytes: 16 * MiB, max_part_bytes: 5368709122, max_parts: 1000 },
        'dest.write_probe': undefined
      })
      expect(await harness.segments()).toEqual([])
    })

    it('name the container that is missing', async () => {
      await using harness = await start()
      await account.call('DELETE', `/${harness.container}`)

      await expect(run(harness, harness.target(1))).rejects.toMatchObject({ code: 'DEST_CONTAINER_NOT_FOUND' })
      await expect(harness.destination.open(harness.target(LARGE), never)).rejects.toMatchObject({
        code: 'DEST_CONTAINER_NOT_FOUND'
      })
    })

    it('find a quota that is too small', async () => {
      await using harness = await start()
      await account.call('POST', `/${harness.container}`, { headers: { 'x-container-meta-quota-bytes': '1000' } })

      await expect(run(harness, harness.target(1001))).rejects.toMatchObject({ code: 'DEST_QUOTA_EXCEEDED' })
      await expect(run(harness, harness.target(1000))).resolves.toBeDefined()
    })

    it('find rights missing', async () => {
      await account.put('/for-readers', '', { 'x-container-read': 'test:reader' })
      await using harness = await start({
        container: 'for-readers',
        credentials: (port) => tempauth(port, { user: 'test:reader' })
      })

      await expect(run(harness, harness.target(1))).rejects.toMatchObject({ code: 'DEST_FORBIDDEN', permanent: true })
    })

    it('find a file too large for the cluster', async () => {
      await using harness = await start()

      const tooLarge = harness.target(1000 * 5368709122)
      await expect(run(harness, tooLarge)).rejects.toMatchObject({ code: 'DEST_LIMIT_EXCEEDED', permanent: true })
      await expect(harness.destination.open(tooLarge, never)).rejects.toMatchObject({ code: 'DEST_LIMIT_EXCEEDED' })
    })
  })
})

describeWithPeers(['swift'], 'swift with a low max_file_size', () => {
  it('gets segments below it', async () => {
    const { authUrl } = await startSwift({ maxFileSize: 10_000_000 })
    const account = await TestAccount.v1(authUrl, 'test:tester', 'testing')
    await using harness = await swiftHarness({ hashers, account, credentials: tempauth })
    const content = bytes(25_000_000)
    const target = harness.target(content.length)

    const upload = await sent(harness.destination, target, content)
    await upload.commit(never)

    expect(upload.partBytes).toBe(9_999_999)
    expect(await harness.segments()).toHaveLength(3)
    expect((await harness.read(target))?.equals(content)).toBe(true)
  })
})
