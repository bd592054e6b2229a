import { createHash, createHmac, randomUUID } from 'node:crypto'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { afterAll, expect, it } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { parseTarget, splitSecretQuery } from '../../../src/destinations/target.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRadosgw } from '../../peers/radosgw.ts'
import { type S3Access, startSwift } from '../../peers/swift.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const hashers = createHashers(1)
const destinations = createDestinations({ hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
const never = new AbortController().signal
afterAll(() => {
  destinations.close()
  hashers.close()
})

const FILE = Buffer.from(Uint8Array.from({ length: 2 * MiB + 3 }, (_, index) => (index * 7 + (index >> 12)) % 256))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** As a task does it: what is stored has no query, what is sealed has it. */
async function exportTo(signedUrl: string, given?: Credentials): Promise<string> {
  const { exportTo: place, credentials } = splitSecretQuery(signedUrl, given)
  const url = parseTarget(place)
  const destination = destinations.forTarget(url)
  destination.check(url, credentials)
  expect(destination.namesObject(credentials)).toBe(true)
  const target = uploadTarget('http://unused', FILE.length, credentials, { url, mediaType: 'application/octet-stream' })
  for (const { run } of destination.checks(target)) await run(never)
  const upload = await destination.open(target, never)
  async function* body() {
    yield FILE
  }
  try {
    await upload.putPart({ number: 1, offset: 0, length: FILE.length }, body(), never)
    return (await upload.commit(never)).location
  } catch (error) {
    await upload.abort()
    throw error
  }
}

/** A new bucket with URLs signed for one object in it. */
async function signed(s3: S3Access, more: { readonly ContentType?: string } = {}) {
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: s3,
    requestChecksumCalculation: 'WHEN_REQUIRED'
  })
  const object = { Bucket: `b-${randomUUID()}`, Key: 'a folder/image.raw' }
  await client.send(new CreateBucketCommand({ Bucket: object.Bucket }))
  return {
    put: await getSignedUrl(client, new PutObjectCommand({ ...object, ...more }), {
      signableHeaders: new Set(['content-type'])
    }),
    get: await getSignedUrl(client, new GetObjectCommand(object))
  }
}

const stored = async (url: string) => sha256(Buffer.from(await (await fetch(url)).arrayBuffer()))

describeWithPeers(['radosgw', 'swift'], 'a pre-signed URL', () => {
  const servers = [
    ['Ceph', async () => (await startRadosgw()).s3],
    ["Swift's S3 API", async () => (await startSwift()).s3]
  ] as const

  it.each(servers)('of %s takes the one export', async (_, s3) => {
    const urls = await signed(await s3())

    const location = await exportTo(urls.put)

    expect(location).toBe(urls.put.slice(0, urls.put.indexOf('?')))
    expect(await stored(urls.get)).toBe(sha256(FILE))
  })

  it.each(servers)('of %s that was changed is refused before anything is sent', async (_, s3) => {
    const urls = await signed(await s3())
    const changed = urls.put.replace(/X-Amz-Signature=./, (text) => `${text.slice(0, -1)}${text.endsWith('0') ? 1 : 0}`)

    await expect(exportTo(changed)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN', permanent: true })
  })

  it('may have signed headers', async () => {
    const urls = await signed((await startRadosgw()).s3, { ContentType: 'application/x-own' })
    const headers = { 'Content-Type': 'application/x-own' }

    await expect(exportTo(urls.put)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    await exportTo(urls.put, { kind: 'presigned', headers })

    expect(await stored(urls.get)).toBe(sha256(FILE))
  })

  it("of Swift's own API takes the one export", async () => {
    const { authUrl } = await startSwift()
    const { headers } = await fetch(authUrl, { headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' } })
    const login = { 'x-auth-token': headers.get('x-auth-token') ?? '' }
    const account = headers.get('x-storage-url') ?? ''
    const key = randomUUID()
    const object = new URL(`${account}/c-${randomUUID()}/image.raw`)
    const container = object.href.slice(0, object.href.lastIndexOf('/'))
    await fetch(container, { method: 'PUT', headers: { ...login, 'x-container-meta-temp-url-key': key } })
    const expires = Math.floor(Date.now() / 1000) + 600
    const signature = createHmac('sha256', key).update(`PUT\n${expires}\n${object.pathname}`).digest('hex')

    const location = await exportTo(`${object.href}?temp_url_sig=${signature}&temp_url_expires=${expires}`)

    expect(location).toBe(object.href)
    const answer = await fetch(object, { headers: login })
    expect(sha256(Buffer.from(await answer.arrayBuffer()))).toBe(sha256(FILE))
  })
})
