import { randomBytes } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, Upload, UploadTarget } from '../../../src/destinations/destination.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRadosgw } from '../../peers/radosgw.ts'
import { startSwift } from '../../peers/swift.ts'
import { isComplete, isHead, isPart, type S3Harness, s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

/** Bytes of a file that no two places of have alike. */
const file = (length: number): Buffer => {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE((at * 2654435761) >>> 0, at)
  return bytes
}

async function sendAll(upload: Upload, bytes: Buffer): Promise<void> {
  const count = Math.ceil(bytes.length / upload.partBytes)
  const send = (index: number) => {
    const part = bytes.subarray(index * upload.partBytes, (index + 1) * upload.partBytes)
    const body = (async function* () {
      yield part
    })()
    return upload.putPart({ number: index + 1, offset: index * upload.partBytes, length: part.length }, body, never)
  }
  await Promise.all(Array.from({ length: count }, (_, index) => send(count - 1 - index)))
}

async function write(harness: S3Harness, target: UploadTarget, bytes: Buffer) {
  const upload = await harness.destination.open(target, never)
  await sendAll(upload, bytes)
  return { upload, commit: () => upload.commit(never) }
}

async function checked(harness: S3Harness, target: UploadTarget) {
  const results: Record<string, unknown> = {}
  for (const { id, run } of harness.destination.checks(target)) {
    try {
      results[id] = (await run(never)) ?? 'passed'
    } catch (error) {
      return { ...results, [id]: (error as { code: string }).code }
    }
  }
  return results
}

const STORES = [
  ['radosgw', 'Ceph', async () => (await startRadosgw()).s3],
  ['swift', 'the S3 API of Swift', async () => (await startSwift()).s3]
] as const

for (const [peer, name, s3] of STORES) {
  const start = async (changes: Partial<Credentials> = {}) => s3Harness(await s3(), hashers, changes)

  describeWithPeers([peer], name, () => {
    it('gives an object in parts to other clients as it was sent, with marks and metadata', async () => {
      await using harness = await start()
      const bytes = file(40 * MiB + 1)
      const metadata = { Project: 'Tests & more', note: 'a=b; c\'d"' }
      const target = harness.targetWith(bytes.length, { object: { replace: false, metadata } })

      const { commit } = await write(harness, target, bytes)
      const { location, etag } = await commit()

      expect((await harness.read(target))?.equals(bytes)).toBe(true)
      const head = await harness.client.send(
        new HeadObjectCommand({ Bucket: harness.bucket, Key: harness.keyOf(target) })
      )
      expect({ location, etag }).toEqual({ location: target.url.href, etag: head.ETag })
      expect(etag).toMatch(/^"[0-9a-f]{32}-3"$/)
      expect(head.ContentType).toBe(target.mediaType)
      expect(head.Metadata).toEqual({
        project: metadata.Project,
        note: metadata.note,
        'glance-export-id': target.marks.exportId,
        'glance-export-content': target.marks.contentId
      })
    })

    it('keeps an older object of the name, and says so', async () => {
      await using harness = await start()
      const target = harness.target(10)
      const old = file(2000)
      await harness.client.send(new PutObjectCommand({ Bucket: harness.bucket, Key: harness.keyOf(target), Body: old }))

      const { upload, commit } = await write(harness, target, file(10))

      await expect(commit()).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
      expect(await upload.abort()).toEqual(['multipart upload with 1 part'])
      expect((await harness.read(target))?.equals(old)).toBe(true)
      expect(await harness.kept()).toBe(1)
    })

    it('replaces an older object when told to', async () => {
      await using harness = await start()
      const target = harness.targetWith(10, { object: { replace: true } })
      await harness.client.send(
        new PutObjectCommand({ Bucket: harness.bucket, Key: harness.keyOf(target), Body: file(2000) })
      )

      const { commit } = await write(harness, target, file(10))
      await commit()

      expect((await harness.read(target))?.equals(file(10))).toBe(true)
    })

    it.each([false, true])('takes a completing call whose answer was lost as done (replace: %s)', async (replace) => {
      await using harness = await start()
      const target = harness.targetWith(5000, { object: { replace } })
      const { commit } = await write(harness, target, file(5000))
      harness.faults.inject({ kind: 'lose answer' }, isComplete)

      await commit()

      expect((await harness.read(target))?.equals(file(5000))).toBe(true)
      expect(await harness.kept()).toBe(1)
    })

    it('does not store bytes that changed on the way', async () => {
      await using harness = await start()
      const upload = await harness.destination.open(harness.target(5000), never)
      harness.faults.inject({ kind: 'corrupt', atByte: 4999 }, isPart)

      await expect(sendAll(upload, file(5000))).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
      await sendAll(upload, file(5000))
      await upload.abort()

      expect(await harness.kept()).toBe(0)
    })

    it('has nothing left of an upload that was not written down, under a key that anybody may have chosen', async () => {
      await using harness = await start()
      const target = { ...harness.target(5000), url: new URL(`s3://${harness.bucket}/a%20folder/latest%20(1).raw`) }
      const theirs = await write(harness, target, file(5000))
      const intent = await harness.destination.intend?.(target, never)
      await harness.destination.open(target, never)

      const removed = await harness.anotherWorker().discard(target, JSON.parse(JSON.stringify(intent)), never)

      expect(removed).toEqual(['multipart upload'])
      await theirs.commit()
      expect((await harness.read(target))?.equals(file(5000))).toBe(true)
      expect(await harness.kept()).toBe(1)
    })

    it('checks what can be checked', async () => {
      await using harness = await start()

      expect(await checked(harness, harness.target(100 * 1024 * MiB))).toEqual({
        'dest.auth': 'passed',
        'dest.container': 'passed',
        'dest.limits': { part_bytes: 16 * MiB, parts: 6400, largest_object_bytes: 53_687_091_200_000 },
        'dest.write_probe': 'passed'
      })
      expect(await harness.kept()).toBe(0)
    })

    it('tells a wrong secret', async () => {
      await using harness = await start({ secret_access_key: 'a-wrong-secret' })

      expect(await checked(harness, harness.target(10))).toEqual({ 'dest.auth': 'DEST_AUTH_FAILED' })
      await expect(harness.destination.open(harness.target(10), never)).rejects.toMatchObject({
        code: 'DEST_AUTH_FAILED',
        permanent: true
      })
    })

    it('tells a bucket that is not there', async () => {
      await using harness = await start()
      const target = { ...harness.target(10), url: new URL(`s3://${harness.bucket}-x/a`) }

      expect(await checked(harness, target)).toEqual({
        'dest.auth': 'passed',
        'dest.container': 'DEST_CONTAINER_NOT_FOUND'
      })
      await expect(harness.destination.open(target, never)).rejects.toMatchObject({ code: 'DEST_CONTAINER_NOT_FOUND' })
    })

    it('refuses a storage class that is not there before anything is sent', async () => {
      await using harness = await start()
      const target = harness.targetWith(10, { object: { replace: false, storage_class: 'COLD' } })

      expect(await checked(harness, target)).toMatchObject({ 'dest.write_probe': 'DEST_REJECTED' })
      await expect(harness.destination.open(target, never)).rejects.toThrow('storage_class')
    })

    it('does not take "encrypted by the store" for granted', async () => {
      await using harness = await start({ sse: { mode: 's3' } })

      await expect(harness.destination.open(harness.target(10), never)).rejects.toMatchObject({ code: 'DEST_REJECTED' })
      expect(await harness.kept()).toBe(0)
    })

    describe('through URLs that were signed beforehand', () => {
      const sign = (harness: S3Harness, command: PutObjectCommand, expiresIn = 600) =>
        getSignedUrl(harness.signer, command, { expiresIn })

      it('takes a PUT', async () => {
        await using harness = await start()
        const target = harness.target(20 * MiB)
        const put_url = await sign(
          harness,
          new PutObjectCommand({ Bucket: harness.bucket, Key: harness.keyOf(target) })
        )
        const signed = harness.presigned(target, { put_url })
        harness.destination.check(signed.url, signed.credentials?.unwrap())

        const { commit } = await write(harness, signed, file(20 * MiB))
        const { etag } = await commit()

        expect((await harness.read(target))?.equals(file(20 * MiB))).toBe(true)
        expect(etag).toMatch(/^"[0-9a-f]{32}"$/)
        expect(await harness.destination.find(signed, never)).toEqual({ status: 'unreadable' })
      })

      it('says when their time is over, also when only the store knows', async () => {
        await using harness = await start()
        const target = harness.target(10)
        const command = new PutObjectCommand({ Bucket: harness.bucket, Key: harness.keyOf(target) })
        const put_url = await sign(harness, command, 3)
        const signed = harness.presigned(target, { put_url })
        const upload = await harness.destination.open(signed, never)
        await new Promise((resolve) => setTimeout(resolve, 4100))

        const expired = { code: 'DEST_CREDENTIALS_EXPIRED', permanent: true }
        await expect(sendAll(upload, file(10))).rejects.toMatchObject(expired)
        await expect(harness.destination.open(signed, never)).rejects.toMatchObject(expired)
        expect(await harness.kept()).toBe(0)
      })

      const begin = async (harness: S3Harness, target: UploadTarget, parts: number) => {
        const object = { Bucket: harness.bucket, Key: harness.keyOf(target) }
        const { UploadId } = await harness.client.send(new CreateMultipartUploadCommand(object))
        const upload = { ...object, UploadId }
        const sign = (command: UploadPartCommand) => getSignedUrl(harness.signer, command, { expiresIn: 600 })
        const numbers = Array.from({ length: parts }, (_, index) => index + 1)
        return harness.presigned(target, {
          parts: await Promise.all(numbers.map((PartNumber) => sign(new UploadPartCommand({ ...upload, PartNumber })))),
          complete_url: await sign(new CompleteMultipartUploadCommand(upload) as never),
          abort_url: await sign(new AbortMultipartUploadCommand(upload) as never),
          part_bytes: 5 * MiB
        })
      }

      it('takes a multipart upload, whose completing call may lose its answer', async () => {
        await using harness = await start()
        const target = harness.target(17 * MiB)
        const signed = await begin(harness, target, 5)
        harness.destination.check(signed.url, signed.credentials?.unwrap())
        harness.faults.inject({ kind: 'lose answer' }, isComplete)

        const { commit } = await write(harness, signed, file(17 * MiB))
        const { etag } = await commit()

        expect((await harness.read(target))?.equals(file(17 * MiB))).toBe(true)
        expect(etag === undefined || /^"[0-9a-f]{32}-4"$/.test(etag)).toBe(true)
        expect(await harness.kept()).toBe(1)
      })

      it('takes the rest of a multipart upload from another worker', async () => {
        await using harness = await start()
        const target = harness.target(11 * MiB)
        const signed = await begin(harness, target, 3)
        const bytes = file(11 * MiB)
        const put = (upload: Upload | undefined, number: number) => {
          const part = bytes.subarray((number - 1) * 5 * MiB, number * 5 * MiB)
          const body = (async function* () {
            yield part
          })()
          return upload?.putPart({ number, offset: (number - 1) * 5 * MiB, length: part.length }, body, never)
        }
        const lost = await harness.destination.open(signed, never)
        const sent = [await put(lost, 3), await put(lost, 1)].filter((part) => part !== undefined)

        const resumed = await harness.anotherWorker().resume?.(signed, lost.state ?? {}, sent, never)
        await put(resumed?.upload, 2)
        await resumed?.upload.commit(never)

        expect(resumed?.kept).toEqual(sent)
        expect((await harness.read(target))?.equals(bytes)).toBe(true)
        expect(await harness.kept()).toBe(1)
      })

      it('ends a multipart upload for good when it is aborted', async () => {
        await using harness = await start()
        const signed = await begin(harness, harness.target(6 * MiB), 2)
        const { upload } = await write(harness, signed, file(6 * MiB))

        expect(await upload.abort()).toEqual(['multipart upload with 2 parts'])
        expect(await upload.abort()).toEqual([])
        expect(await harness.kept()).toBe(0)
        const again = await harness.destination.open(signed, never)
        await expect(sendAll(again, file(6 * MiB))).rejects.toMatchObject({
          code: 'DEST_COMMIT_FAILED',
          permanent: true
        })
      })

      it('plans the parts by the number of URLs', async () => {
        await using harness = await start()
        const signed = await begin(harness, harness.target(11 * MiB), 2)

        expect(await checked(harness, signed)).toMatchObject({ 'dest.limits': 'DEST_LIMIT_EXCEEDED' })
        expect(await checked(harness, { ...signed, length: 10 * MiB })).toMatchObject({
          'dest.limits': { part_bytes: 5 * MiB, parts: 2 }
        })
      })
    })
  })
}

describeWithPeers(['radosgw'], 'Ceph', () => {
  it('tags an object although it drops the tags of a multipart upload', async () => {
    await using harness = await s3Harness((await startRadosgw()).s3, hashers)
    const tags = { project: 'tests + more', 'retention/days': '7', name: 'Zoë' }
    const target = harness.targetWith(5000, { object: { replace: false, tags } })

    const { commit } = await write(harness, target, file(5000))
    await commit()

    const { TagSet } = await harness.client.send(
      new GetObjectTaggingCommand({ Bucket: harness.bucket, Key: harness.keyOf(target) })
    )
    expect(Object.fromEntries((TagSet ?? []).map(({ Key, Value }) => [Key, Value]))).toEqual(tags)
  })

  it("encrypts with a customer's key, without which the object cannot be read", async () => {
    const key = randomBytes(32)
    const { s3 } = await startRadosgw()
    await using harness = await s3Harness(s3, hashers, { sse: { mode: 'c', customer_key: key.toString('base64') } })
    const bytes = file(20 * MiB)
    const target = harness.target(bytes.length)

    const { commit } = await write(harness, target, bytes)
    await commit()

    await expect(harness.read(target)).rejects.toThrow()
    const withKey = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: key.toString('base64') }
    expect((await harness.readWith(target, withKey))?.equals(bytes)).toBe(true)
    expect(await harness.destination.find(target, never)).toMatchObject({ status: 'present', length: bytes.length })
    const back: Uint8Array[] = []
    for await (const chunk of harness.destination.read(target, { from: 1, to: 100_000 }, never))
      back.push(Buffer.from(chunk))
    expect(Buffer.concat(back).equals(bytes.subarray(1, 100_000))).toBe(true)
  })

  it('encrypts with a key of its key service', async () => {
    const { s3, kmsKeyId } = await startRadosgw()
    await using harness = await s3Harness(s3, hashers, { sse: { mode: 'kms', kms_key_id: kmsKeyId } })
    const target = harness.target(5000)

    const { commit } = await write(harness, target, file(5000))
    await commit()

    expect((await harness.read(target))?.equals(file(5000))).toBe(true)
    const head = await harness.client.send(
      new HeadObjectCommand({ Bucket: harness.bucket, Key: harness.keyOf(target) })
    )
    expect(head).toMatchObject({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId: kmsKeyId })
  })

  describe.each([
    ['of the key service', async () => ({ mode: 'kms', kms_key_id: (await startRadosgw()).kmsKeyId })],
    ['of the customer', async () => ({ mode: 'c', customer_key: randomBytes(32).toString('base64') })]
  ])('with a key %s', (_, sseOf) => {
    /** An upload of one part and a second, through the proxy. */
    const begin = async (opaque: boolean) => {
      const harness = await s3Harness((await startRadosgw()).s3, hashers, { sse: await sseOf() })
      const bytes = file(20 * MiB)
      const target = harness.target(bytes.length)
      // Ceph's ETags are MD5s whoever has the key; those of AWS are not.
      if (opaque) harness.faults.inject({ kind: 'change headers', headers: { etag: `"${'0'.repeat(32)}"` } }, isPart)
      const upload = await harness.destination.open(target, never)
      return { harness, bytes, target, upload }
    }

    it.each([
      ['md5', 'by its ETag', 16 * MiB - 1],
      ['chunks', 'by the signature of its chunk', 16 * MiB - 1],
      ['chunks', 'by the signature of its chunk, in the signature', 40]
    ])('knows a part that changed on the way, %s: %s', async (proof, _how, atByte) => {
      const { harness, bytes, target, upload } = await begin(proof === 'chunks')
      await using _harness = harness
      expect(upload.state).toMatchObject({ proof })
      harness.faults.inject({ kind: 'corrupt', atByte }, ({ url }) => /partNumber=1\b/.test(url))

      await expect(sendAll(upload, bytes)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
      await sendAll(upload, bytes)
      await upload.commit(never)

      expect(upload.unproved).toBe(false)
      const back: Uint8Array[] = []
      for await (const chunk of harness.destination.read(target, { from: 0, to: bytes.length }, never))
        back.push(Buffer.from(chunk))
      expect(Buffer.concat(back).equals(bytes)).toBe(true)
      expect(await harness.kept()).toBe(1)
    })
  })

  it('says beforehand that the key of the key service is not there', async () => {
    const { s3 } = await startRadosgw()
    await using harness = await s3Harness(s3, hashers, { sse: { mode: 'kms', kms_key_id: 'no-such-key' } })
    const failed = async (run: () => Promise<unknown>) => run().catch((error: unknown) => error)
    const checks = harness.destination.checks(harness.target(5000))
    const outcomes = await Promise.all(checks.map(({ run }) => failed(() => run(never))))

    const told = { code: 'DEST_FORBIDDEN', actor: 'user', message: expect.stringContaining('sse.kms_key_id') }
    expect(outcomes.filter((one) => one instanceof Error)).toEqual([expect.objectContaining(told)])
  })

  describe('with the bucket in the name of the host', () => {
    const start = async (changes: Partial<Credentials> = {}) => {
      const { s3, dnsName } = await startRadosgw()
      return s3Harness(s3, hashers, { addressing_style: 'virtual', ...changes }, undefined, dnsName)
    }

    it('takes an object in parts, gives it back and removes it', async () => {
      await using harness = await start()
      const bytes = file(20 * MiB)
      const target = harness.target(bytes.length)
      harness.destination.check(target.url, target.credentials?.unwrap())

      expect(await checked(harness, target)).toMatchObject({ 'dest.write_probe': 'passed' })
      const { commit } = await write(harness, target, bytes)
      await commit()

      expect((await harness.read(target))?.equals(bytes)).toBe(true)
      expect(await harness.destination.find(target, never)).toMatchObject({ status: 'present', length: bytes.length })
      for (const { url } of harness.faults.seen) expect(decodeURIComponent(url)).not.toContain(harness.bucket)
      await harness.destination.remove(target, never)
      expect(await harness.kept()).toBe(0)
    })

    it('signs chunks for that host', async () => {
      const sse = { mode: 'c', customer_key: randomBytes(32).toString('base64') }
      await using harness = await start({ sse })
      harness.faults.inject({ kind: 'change headers', headers: { etag: `"${'0'.repeat(32)}"` } }, isPart)

      const { upload, commit } = await write(harness, harness.target(5000), file(5000))
      await commit()

      expect(upload).toMatchObject({ unproved: false, state: { proof: 'chunks' } })
    })

    it('tells a bucket that is not there', async () => {
      await using harness = await start()
      const target = { ...harness.target(10), url: new URL(`s3://${harness.bucket}-x/a`) }

      expect(await checked(harness, target)).toMatchObject({ 'dest.container': 'DEST_CONTAINER_NOT_FOUND' })
    })
  })

  it('lets a role be assumed, at the same endpoint', async () => {
    const { s3, roleArn } = await startRadosgw({ roles: true })
    const role = { kind: 's3_assume_role', role_arn: roleArn, duration_seconds: 900 }
    await using harness = await s3Harness(s3, hashers, role)
    const target = harness.target(20 * MiB)

    const { commit } = await write(harness, target, file(20 * MiB))
    await commit()

    expect((await harness.read(target))?.equals(file(20 * MiB))).toBe(true)
  })

  it('tells a role that is not there', async () => {
    const { s3 } = await startRadosgw({ roles: true })
    const role = { kind: 's3_assume_role', role_arn: 'arn:aws:iam:::role/nobody' }
    await using harness = await s3Harness(s3, hashers, role)

    expect(await checked(harness, harness.target(1))).toEqual({ 'dest.auth': 'DEST_AUTH_FAILED' })
  })
})

describeWithPeers(['swift'], 'the S3 API of Swift', () => {
  const start = async (changes: Partial<Credentials> = {}) => s3Harness((await startSwift()).s3, hashers, changes)

  it('refuses to replace an object that appeared in the last moment', async () => {
    await using harness = await start()
    const target = harness.target(10)
    const { upload, commit } = await write(harness, target, file(10))
    await harness.client.send(
      new PutObjectCommand({ Bucket: harness.bucket, Key: harness.keyOf(target), Body: file(2000) })
    )
    harness.faults.inject({ kind: 'answer', status: 404 }, isHead)

    await expect(commit()).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', upstreamStatus: 412 })
    await upload.abort()

    expect((await harness.read(target))?.equals(file(2000))).toBe(true)
  })

  it("takes a customer's key and does not encrypt, which is noticed before anything is sent", async () => {
    await using harness = await start({ sse: { mode: 'c', customer_key: randomBytes(32).toString('base64') } })

    expect(await checked(harness, harness.target(10))).toMatchObject({ 'dest.write_probe': 'DEST_REJECTED' })
    await expect(harness.destination.open(harness.target(10), never)).rejects.toThrow('does not confirm')
    expect(await harness.kept()).toBe(0)
  })

  it('has no tags, which is noticed before anything is sent', async () => {
    await using harness = await start()
    const target = harness.targetWith(10, { object: { replace: false, tags: { a: 'b' } } })

    expect(await checked(harness, target)).toMatchObject({ 'dest.write_probe': 'DEST_REJECTED' })
  })

  it('keeps no segments of an upload that was aborted', async () => {
    await using harness = await start()
    const { authUrl } = await startSwift()
    const { upload } = await write(harness, harness.target(20 * MiB), file(20 * MiB))
    const login = await fetch(authUrl, { headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' } })
    const headers = { 'x-auth-token': login.headers.get('x-auth-token') ?? '' }
    const segments = `${login.headers.get('x-storage-url')}/${harness.bucket}+segments`
    expect((await (await fetch(segments, { headers })).text()).trim().split('\n').length).toBeGreaterThan(1)

    await upload.abort()

    expect(await (await fetch(segments, { headers })).text()).toBe('')
  })
})
