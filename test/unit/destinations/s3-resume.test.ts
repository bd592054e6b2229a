import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, SentPart, UploadTarget } from '../../../src/destinations/destination.ts'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import type { S3ServerSettings } from '../../support/s3-server.ts'
import { bytes, errorBody, part, type S3Harness, s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

const start = (behaviour: Partial<S3ServerSettings> = {}) => s3Harness(hashers, {}, undefined, behaviour)
const DENIED = { kind: 'answer', status: 403, body: errorBody('AccessDenied') } as const
const isList = ({ method, url }: { method: string; url: string }) => method === 'GET' && url.includes('uploadId=')
const isListOfUploads = ({ method, url }: { method: string; url: string }) =>
  method === 'GET' && url.includes('uploads')

/** An upload whose parts are small, which stores mind only when it is completed. */
async function begun(harness: S3Harness, count: number, target = harness.target(100 * MiB)) {
  const upload = await harness.destination.open(target, never)
  const sent: SentPart[] = []
  for (let number = 1; number <= count; number += 1)
    sent.push(await upload.putPart({ ...part(1 * KiB), number }, bytes(1 * KiB), never))
  return { target, sent, state: upload.state ?? {} }
}

describe('going on with a multipart upload', () => {
  it('reads the list of parts to its end, however many answers that takes', async () => {
    await using harness = await start({ pageLength: 3 })
    const { target, sent, state } = await begun(harness, 7)

    const resumed = await harness.anotherWorker().resume?.(target, state, sent, never)

    expect(resumed?.kept).toEqual(sent)
    expect(harness.faults.seen.filter(isList)).toHaveLength(3)
  })

  it('reads a list of as many parts as an answer may have', async () => {
    await using harness = await start()
    const { target, sent, state } = await begun(harness, 1)
    const [first] = sent
    const parts = harness.server.uploads.get(String(state.uploadId))?.parts
    const stored = parts?.get(1)
    const many = Array.from({ length: 1000 }, (_, i) => ({ ...first, number: i + 1, bytes: first?.bytes ?? 0 }))
    for (const { number } of many) if (stored) parts?.set(number, stored)

    const resumed = await harness.anotherWorker().resume?.(target, state, many, never)

    expect(resumed?.kept).toEqual(many)
  })

  it('fails where a list goes round in a circle', async () => {
    await using harness = await start()
    const { target, sent, state } = await begun(harness, 1)
    const page = '<IsTruncated>true</IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>'
    harness.faults.inject(
      { kind: 'answer', status: 200, body: `<ListPartsResult>${page}</ListPartsResult>` },
      isList,
      9
    )

    const resumed = harness.anotherWorker().resume?.(target, state, sent, never)

    await expect(resumed).rejects.toMatchObject({ code: 'DEST_REJECTED', permanent: false })
    expect(harness.faults.seen.filter(isList)).toHaveLength(2)
  })

  it('keeps a part of the same bytes only', async () => {
    await using harness = await start()
    const { target, sent, state } = await begun(harness, 4)
    const [right, otherTag, otherLength, noTag] = sent
    const recorded = [
      right,
      { ...otherTag, tag: '"d41d8cd98f00b204e9800998ecf8427e"' },
      { ...otherLength, bytes: 1 },
      { number: noTag?.number, bytes: noTag?.bytes }
    ] as readonly SentPart[]

    const resumed = await harness.destination.resume?.(target, state, recorded, never)

    expect(resumed?.kept).toEqual([right])
  })

  it('removes what somebody in between has begun and nobody has written down', async () => {
    await using harness = await start()
    const { target, sent, state } = await begun(harness, 1)
    await harness.anotherWorker().open(target, never)

    const resumed = await harness.anotherWorker().resume?.(target, state, sent, never)

    expect(resumed?.kept).toEqual(sent)
    expect([...harness.server.uploads.keys()]).toEqual([state.uploadId])
  })

  it('has the size of parts that was planned then, not the one that would be planned now', async () => {
    await using harness = await start()
    const { target, sent, state } = await begun(harness, 1)

    const resumed = await harness.destination.resume?.(target, { ...state, partBytes: String(20 * MiB) }, sent, never)

    expect(resumed?.upload.partBytes).toBe(20 * MiB)
  })

  it.each([
    ['was recorded without the size of its parts', {}],
    ['has a size that is none', { partBytes: 'NaN' }]
  ])('is not tried where it %s', async (_, change) => {
    await using harness = await start()
    const { target, sent, state } = await begun(harness, 1)

    const { uploadId = '' } = state
    expect(await harness.destination.resume?.(target, { uploadId, ...change }, sent, never)).toBeUndefined()
  })

  it('is given up where the parts may not be listed, and left to the next attempt where the store is busy', async () => {
    await using harness = await start()
    const { target, sent, state } = await begun(harness, 1)
    harness.faults.inject(DENIED, isList)
    harness.faults.inject({ kind: 'answer', status: 503 }, isList)

    expect(await harness.destination.resume?.(target, state, sent, never)).toBeUndefined()
    await expect(harness.destination.resume?.(target, state, sent, never)).rejects.toMatchObject({
      code: 'DEST_THROTTLED',
      permanent: false
    })
  })
})

describe('uploads that nobody knows of', () => {
  const uploadsAt = ({ server }: S3Harness, { url }: UploadTarget) =>
    [...server.uploads.values()].filter(({ place }) => place === `/exports${decodeURIComponent(url.pathname)}`).length

  it('are all removed, also beyond the first answer, with the one that was recorded', async () => {
    await using harness = await start({ pageLength: 2 })
    const { target, state } = await begun(harness, 1)
    for (let times = 0; times < 4; times += 1) await begun(harness, 0, target)

    expect(await harness.destination.discard(target, state, never)).toEqual(['5 multipart uploads'])
    expect(harness.kept()).toBe(0)
  })

  it('are those to the very key', async () => {
    await using harness = await start()
    const { target } = await begun(harness, 0)
    const sidecar = { ...target, url: new URL(`${target.url.href}.sha256`) }
    await begun(harness, 0, sidecar)
    await begun(harness, 0)

    expect(await harness.destination.discard(target, null, never)).toEqual(['multipart upload'])
    expect(harness.kept()).toBe(2)
    expect(uploadsAt(harness, sidecar)).toBe(1)
    expect(harness.faults.seen.filter(({ method }) => method === 'DELETE')).toHaveLength(1)
  })

  it('stay where they may not be listed, and the recorded one is removed', async () => {
    await using harness = await start()
    const { target, state } = await begun(harness, 0)
    await begun(harness, 0, target)
    harness.faults.inject(DENIED, isListOfUploads)

    expect(await harness.destination.discard(target, state, never)).toEqual(['multipart upload'])
    expect(harness.kept()).toBe(1)
  })
})

describe('uploads that nobody knows of, to a key that does not name the export,', () => {
  const minutes = (count: number) => count * 60_000
  /** An export to such a key whose worker has died between beginning the upload and writing it down. */
  const died = async (behaviour: Partial<S3ServerSettings> = {}, sse?: object) => {
    const harness = await s3Harness(hashers, sse ? { sse } : {}, undefined, {
      keys: { AKIATEST: undefined, AKIAOTHER: undefined },
      ...behaviour
    })
    const target = harness.target(1, undefined, { url: new URL('s3://exports/latest') })
    const others = new Secret<Credentials>({ ...harness.credentials, access_key_id: 'AKIAOTHER' })
    const begin = async (as = target, change: object = {}) => {
      const { state } = await harness.destination.open(as, never)
      Object.assign(harness.server.uploads.get(state?.uploadId ?? '') ?? {}, change)
      return state?.uploadId
    }
    const before = await begin()
    const state = (await harness.destination.intend?.(target, never)) ?? null
    return { harness, target, begin, others, before, state }
  }
  type Died = Awaited<ReturnType<typeof died>>
  const discarded = async ({ harness, target, state }: Died) => {
    const removed = await harness.anotherWorker().discard(target, JSON.parse(JSON.stringify(state)), never)
    return { removed, left: [...harness.server.uploads.keys()] }
  }

  it.each<[string, Partial<S3ServerSettings>, object | undefined]>([
    ['', {}, undefined],
    [', also when it was tried out how parts are proved', { opaqueEtags: true }, { mode: 'kms' }]
  ])('are removed, and the one that stood there before stays%s', async (_, behaviour, sse) => {
    const left = await died(behaviour, sse)
    await using _harness = left.harness
    await left.begin()

    expect(await discarded(left)).toEqual({ removed: ['multipart upload'], left: [left.before] })
    expect(await discarded(left)).toEqual({ removed: [], left: [left.before] })
  })

  it.each<[string, (died: Died) => Promise<unknown>, Partial<S3ServerSettings>]>([
    ['was begun with other keys', ({ begin, target, others }) => begin({ ...target, credentials: others }), {}],
    [
      'has a part',
      ({ begin }) => begin(undefined, { parts: new Map([[1, { body: Buffer.alloc(9), etag: 'e' }]]) }),
      {}
    ],
    ['was begun long before', ({ begin }) => begin(undefined, { begunAt: new Date(Date.now() - minutes(6)) }), {}],
    ['was begun long after', ({ begin }) => begin(undefined, { begunAt: new Date(Date.now() + minutes(7)) }), {}],
    ['was begun by nobody knows whom', ({ begin }) => begin(), { tellsNobody: true }]
  ])('are not one that %s', async (_, beginOther, behaviour) => {
    const left = await died(behaviour)
    await using _harness = left.harness
    const theirs = await beginOther(left)

    expect(await discarded(left)).toEqual({ removed: [], left: [left.before, theirs] })
  })

  it('stay where somebody has begun another in the same moment', async () => {
    const left = await died()
    await using _harness = left.harness
    const both = [await left.begin(), await left.begin()]

    expect(await discarded(left)).toEqual({ removed: [], left: [left.before, ...both] })
  })

  it('stay without the note that was written before', async () => {
    const left = await died()
    await using _harness = left.harness
    const ours = await left.begin()

    expect(await left.harness.destination.discard(left.target, null, never)).toEqual([])
    expect([...left.harness.server.uploads.keys()]).toEqual([left.before, ours])
  })

  it('stay where these keys may not list or begin any more, which is no error', async () => {
    for (const match of [isListOfUploads, isList, ({ method }: { method: string }) => method === 'POST']) {
      const left = await died()
      await using _harness = left.harness
      const ours = await left.begin()
      left.harness.faults.inject(DENIED, match)

      expect(await discarded(left)).toEqual({ removed: [], left: [left.before, ours] })
    }
  })

  it('need no note where the key names the export, or where nobody may list', async () => {
    await using harness = await start()
    expect(await harness.destination.intend?.(harness.target(1), never)).toBeUndefined()
    harness.faults.inject(DENIED, isListOfUploads)
    const target = harness.target(1, undefined, { url: new URL('s3://exports/latest') })

    expect(await harness.destination.intend?.(target, never)).toBeUndefined()
  })
})
