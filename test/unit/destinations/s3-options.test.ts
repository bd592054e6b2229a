import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { PATIENT } from '../../contracts/destination.contract.ts'
import type { S3ServerSettings } from '../../support/s3-server.ts'
import { bytes, errorBody, part, type S3Harness, s3Harness, sent } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

const start = (changes: Partial<Credentials> = {}, behaviour: Partial<S3ServerSettings> = {}) =>
  s3Harness(hashers, changes, PATIENT, behaviour)

const asking = (harness: S3Harness, object: Partial<UploadTarget['object']>) =>
  sent(harness, 1000, { object: { replace: false, ...object } })

const KEY = Buffer.alloc(32, 'k').toString('base64')
const isTagging = ({ url }: { url: string }) => url.includes('tagging')

describe('the options of an s3 object', () => {
  it('are kept with it', async () => {
    await using harness = await start()
    const options = {
      storage_class: 'STANDARD_IA',
      tags: { 'cost centre': '4711 / a+b', Größe: '' },
      metadata: { Project: 'a & b', 'x-y': '1' }
    }

    const { target, upload } = await asking(harness, options)
    await upload.commit(never)

    expect(harness.stored(target.url)).toMatchObject({
      storageClass: 'STANDARD_IA',
      tags: options.tags,
      metadata: { project: 'a & b', 'x-y': '1', 'glance-export-id': target.marks.exportId }
    })
    expect(harness.faults.seen.filter(isTagging)).toEqual([])
  })

  it('are tags set afterwards where the store has dropped them', async () => {
    await using harness = await start({}, { forgets: true })

    const { target, upload } = await asking(harness, { tags: { a: '1', b: 'x' } })
    await upload.commit(never)

    expect(harness.stored(target.url)?.tags).toEqual({ a: '1', b: 'x' })
  })

  it('are no reason to leave an object without its tags behind', async () => {
    await using harness = await start({}, { forgets: true })
    const { target, upload } = await asking(harness, { tags: { a: '1' } })
    harness.faults.inject({ kind: 'answer', status: 403, body: errorBody('AccessDenied') }, isTagging)

    await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    expect(await upload.abort()).toEqual(['object'])

    expect(harness.stored(target.url)).toBeUndefined()
    expect(harness.kept()).toBe(0)
  })

  it.each<[string, Partial<UploadTarget['object']>, string]>([
    ['eleven tags', { tags: Object.fromEntries(Array.from({ length: 11 }, (_, at) => [`t${at}`, ''])) }, 'tags'],
    ['a tag without a name', { tags: { '': 'x' } }, 'tags'],
    ['a tag with a long name', { tags: { ['n'.repeat(129)]: '' } }, 'tags'],
    ['a tag with a long value', { tags: { a: 'v'.repeat(257) } }, 'tags'],
    ['a tag with other characters', { tags: { a: 'b&c' } }, 'tags'],
    ['a tag of the service itself', { tags: { 'AWS:x': '1' } }, 'tags'],
    ['much metadata', { metadata: { a: 'v'.repeat(2000) } }, 'metadata'],
    ['metadata on two lines', { metadata: { a: 'b\r\nx-amz-acl: public-read' } }, 'metadata'],
    ['metadata that is not ASCII', { metadata: { a: 'Zoë' } }, 'metadata'],
    ['a metadata name that is no header', { metadata: { 'a b': 'c' } }, 'metadata'],
    ['a metadata name twice', { metadata: { a: '1', A: '2' } }, 'metadata'],
    ['metadata in place of the marks', { metadata: { 'Glance-Export-Id': '1' } }, 'metadata']
  ])('are refused before the store is asked: %s', async (_, object, about) => {
    await using harness = await start()
    const target = harness.target(1, undefined, { object: { replace: false, ...object } })
    const limits = harness.destination.checks(target).find(({ id }) => id === 'dest.limits')

    const refusal = { code: 'DEST_REJECTED', permanent: true, actor: 'user', message: expect.stringContaining(about) }
    await expect(limits?.run(never)).rejects.toMatchObject(refusal)
    await expect(harness.destination.open(target, never)).rejects.toMatchObject(refusal)
    expect(harness.faults.seen).toEqual([])
  })

  it('are named when the store does not know them', async () => {
    await using harness = await start()
    harness.faults.inject({ kind: 'answer', status: 400, body: errorBody('InvalidArgument') })
    const target = harness.target(1, undefined, { object: { replace: false, storage_class: 'COLD' } })

    await expect(harness.destination.open(target, never)).rejects.toThrow('storage_class')
  })
})

describe('encryption at an s3 store', () => {
  it.each<[string, object, string]>([
    ['its own keys', { mode: 's3' }, 'AES256'],
    ['its key service', { mode: 'kms' }, 'aws:kms'],
    ['a key of its key service', { mode: 'kms', kms_key_id: 'alias/exports' }, 'aws:kms alias/exports']
  ])('is asked for with %s', async (_, sse, encryption) => {
    await using harness = await start({ sse })

    const { target, upload } = await sent(harness)
    await upload.commit(never)

    expect(harness.stored(target.url)).toMatchObject({ encryption })
  })

  it("carries a customer's key wherever the store needs it, and never in a URL", async () => {
    await using harness = await start({ sse: { mode: 'c', customer_key: KEY } })

    const { target, upload } = await sent(harness)
    await upload.commit(never)
    const back: Buffer[] = []
    for await (const chunk of harness.destination.read(target, { from: 1, to: 9 }, never)) back.push(Buffer.from(chunk))

    expect(harness.stored(target.url)?.encryption).toHaveLength(24)
    expect(Buffer.concat(back)).toEqual(Buffer.alloc(8, 7))
    expect(await harness.destination.find(target, never)).toMatchObject({ status: 'present' })
    for (const { url } of harness.faults.seen) expect(decodeURIComponent(url)).not.toContain(KEY)
  })

  it.each([{ mode: 's3' }, { mode: 'kms' }, { mode: 'c', customer_key: KEY }])(
    'has to be confirmed by the store: %o',
    async (sse) => {
      await using harness = await start({ sse }, { ignoresEncryption: true })

      await expect(harness.destination.open(harness.target(1), never)).rejects.toMatchObject({
        code: 'DEST_REJECTED',
        permanent: true,
        message: expect.stringContaining('does not confirm')
      })
      expect(harness.kept()).toBe(0)
    }
  )

  describe.each([{ mode: 'kms' }, { mode: 'c', customer_key: KEY }])('does not hide bytes that changed: %o', (sse) => {
    const isPart = ({ method, url }: { method: string; url: string }) => method === 'PUT' && url.includes('partNumber')
    const begun = async (behaviour: Partial<S3ServerSettings>) => {
      const harness = await start({ sse }, behaviour)
      const target = harness.target(600_000)
      const upload = await harness.destination.open(target, never)
      const send = () => upload.putPart(part(600_000), bytes(600_000), never)
      return { harness, target, upload, send }
    }

    it('by the ETag where it is the MD5 all the same', async () => {
      const { harness, target, upload, send } = await begun({})
      await using _harness = harness
      harness.faults.inject({ kind: 'corrupt', atByte: 599_999 }, isPart)

      await expect(send()).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
      await send()
      await upload.commit(never)

      expect(upload.unproved).toBe(false)
      expect(harness.stored(target.url)?.body.equals(Buffer.alloc(600_000, 7))).toBe(true)
    })

    it.each([
      ['a length', 3],
      ['a signature', 40],
      ['the bytes', 300_000],
      ['the last byte', 599_999]
    ])('by signatures of chunks where it is not: %s', async (_, atByte) => {
      const { harness, target, upload, send } = await begun({ opaqueEtags: true })
      await using _harness = harness
      harness.faults.inject({ kind: 'corrupt', atByte }, isPart)

      await expect(send()).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH', permanent: false })
      await send()
      await upload.commit(never)

      expect(upload.unproved).toBe(false)
      expect(upload.state).toMatchObject({ proof: 'chunks' })
      expect(harness.stored(target.url)?.body.equals(Buffer.alloc(600_000, 7))).toBe(true)
      for (const { url } of harness.faults.seen.filter(isPart).slice(1)) expect(url).not.toContain('X-Amz-')
    })

    it.each(['believed', 'refused', 'stored'] as const)(
      'but says that nothing shows them where signed chunks are %s',
      async (signedChunks) => {
        const { harness, target, upload, send } = await begun({ opaqueEtags: true, signedChunks })
        await using _harness = harness
        harness.faults.inject({ kind: 'corrupt', atByte: 599_999 }, isPart)

        await send()
        await upload.commit(never)

        expect(upload.unproved).toBe(true)
        expect(harness.stored(target.url)?.body.length).toBe(600_000)
        const [check] = harness.destination.checks(target).filter(({ id }) => id === 'dest.write_probe')
        expect(await check?.run(never)).toEqual({ integrity: expect.stringContaining('read back') })
      }
    )

    it('is the same for whoever goes on with the upload', async () => {
      for (const signedChunks of ['checked', 'refused'] as const) {
        const { harness, target, upload, send } = await begun({ opaqueEtags: true, signedChunks })
        await using _harness = harness
        const sentPart = await send()

        const resumed = await harness.anotherWorker().resume?.(target, upload.state ?? {}, [sentPart], never)

        expect(resumed?.kept).toEqual([sentPart])
        expect(resumed?.upload.unproved).toBe(upload.unproved)
        expect(resumed?.upload.state).toEqual(upload.state)
      }
    })
  })

  it('is noticed where the bucket asks for it, not the request', async () => {
    await using harness = await start()
    const headers = { 'x-amz-server-side-encryption': 'aws:kms' }
    harness.faults.inject({ kind: 'change headers', headers }, ({ method }) => method === 'POST')
    harness.faults.inject({ kind: 'change headers', headers: { etag: `"${'0'.repeat(32)}"` } })

    const upload = await harness.destination.open(harness.target(1000), never)

    expect(upload.state).toMatchObject({ proof: 'chunks' })
  })

  it('leaves nothing behind when what proves the parts cannot be found out', async () => {
    await using harness = await start({ sse: { mode: 'kms' } }, { opaqueEtags: true })
    harness.faults.inject({ kind: 'answer', status: 503 }, ({ method }) => method === 'PUT')

    await expect(harness.destination.open(harness.target(1000), never)).rejects.toMatchObject({
      code: 'DEST_THROTTLED'
    })
    expect(harness.kept()).toBe(0)
  })

  it('says so when the key of the key service cannot be used', async () => {
    await using harness = await start({ sse: { mode: 'kms' } })
    harness.faults.inject({ kind: 'answer', status: 400, body: errorBody('KMS.NotFoundException') })

    await expect(harness.destination.open(harness.target(1), never)).rejects.toThrow('sse.kms_key_id')
  })
})
