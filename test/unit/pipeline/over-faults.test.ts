import { createHash } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import type { Destination, UploadTarget } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { packedQcow2 } from '../../../src/formats/packed-qcow2.ts'
import { raw } from '../../../src/formats/raw.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { createCompressors } from '../../../src/pipeline/compressors.ts'
import { Retries } from '../../../src/pipeline/retries.ts'
import { prepareShipment } from '../../../src/pipeline/shipment.ts'
import { IMPATIENT } from '../../contracts/destination.contract.ts'
import { type Fault, faultServer, type Match } from '../../support/fault-server.ts'
import { mixedDisk } from '../../support/mixed-disk.ts'
import { putServer } from '../../support/put-server.ts'
import { s3Server } from '../../support/s3-server.ts'
import { impatientRules, NOTHING_MORE } from '../../support/sending.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const engine = { hashers: createHashers(2), compressors: createCompressors(2), buffers: new Buffers() }
afterAll(() => Promise.all([engine.hashers.close(), engine.compressors.close()]))

/** Three parts of S3. */
const SIZE = 36 * MiB
const PART_BYTES = 16 * MiB
const disk = mixedDisk(SIZE, [{ offset: 0, length: SIZE, kind: 'noise' }])
const FORMATS = { raw, qcow2: packedQcow2({ name: 'zlib', level: 1, windowBits: 12 }) }
const never = new AbortController().signal
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

type Place = AsyncDisposable & {
  readonly destination: Destination
  readonly faults: Awaited<ReturnType<typeof faultServer>>
  readonly isPart: Match
  readonly isCommit: Match
  target(length: number, exact: boolean): UploadTarget
  stored(target: UploadTarget): Buffer | undefined
}

const settings = { hashers: engine.hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits: IMPATIENT }

async function s3(): Promise<Place> {
  const server = await s3Server({ buckets: ['exports'], keys: { AKIATEST: undefined } })
  const faults = await faultServer(server.port)
  const destinations = createDestinations(settings)
  const endpoint = `http://127.0.0.1:${faults.port}`
  const credentials = { kind: 's3_static', access_key_id: 'AKIATEST', secret_access_key: 'key', endpoint }
  return {
    destination: destinations.forScheme('s3'),
    faults,
    isPart: ({ url }) => url.includes('partNumber=2&') || url.endsWith('partNumber=2'),
    isCommit: ({ method, url }) => method === 'POST' && url.includes('uploadId='),
    target: (length, exact) => uploadTarget('s3://exports/a', length, credentials, { exact }),
    stored: ({ url }) => server.objects.get(`/exports${url.pathname}`)?.body,
    async [Symbol.asyncDispose]() {
      destinations.close()
      await faults[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
}

async function http(): Promise<Place> {
  const server = await putServer()
  const faults = await faultServer(server.port)
  const destinations = createDestinations(settings)
  return {
    destination: destinations.forScheme('http'),
    faults,
    isPart: ({ method }) => method === 'PUT',
    isCommit: () => false,
    target: (length, exact) => uploadTarget(`http://127.0.0.1:${faults.port}/a`, length, undefined, { exact }),
    stored: ({ url }) => server.objects.get(url.pathname),
    async [Symbol.asyncDispose]() {
      destinations.close()
      await faults[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
}

/** Sends one file and completes it, as an attempt does. */
async function send(place: Place, format: keyof typeof FORMATS, tries = 8) {
  const rules = impatientRules({ tries })
  const anyOrder = place.destination.anyOrder(undefined)
  using file = await prepareShipment({ disk, format: FORMATS[format] }, anyOrder, engine, NOTHING_MORE, never, () => {})
  const target = place.target(file.length, file.exact)
  const upload = await place.destination.open(target, never)
  const retries = new Retries(rules, { length: file.length, parts: Math.ceil(file.length / upload.partBytes) })
  try {
    const sent = await file.send({ upload, retries, signal: never }, () => {})
    await retries.run(never, () => upload.commit(never))
    return { sent, object: place.stored(target), lostBytes: retries.lostBytes, waits: rules.waits }
  } catch (error) {
    await upload.abort()
    expect(place.stored(target)).toBeUndefined()
    throw error
  }
}

/** What the whole file is, without any fault. */
const expected = new Map<string, Buffer>()
for (const format of ['raw', 'qcow2'] as const) {
  await using place = await s3()
  expected.set(format, (await send(place, format)).object ?? Buffer.alloc(0))
}

const FAULTS: [string, Fault, number][] = [
  ['is broken off once', { kind: 'reset', afterBytes: 5 * MiB }, 1],
  ['is broken off twice', { kind: 'reset', afterBytes: 5 * MiB }, 2],
  ['is broken off after its last byte', { kind: 'lose answer' }, 1],
  ['is not taken', { kind: 'stall' }, 1],
  ['is taken and not answered', { kind: 'hang' }, 1],
  ['is refused by a server that is busy, three times', { kind: 'answer', status: 503 }, 3],
  ['is answered with an error when half of it is there', { kind: 'answer', status: 500, afterBytes: 8 * MiB }, 1]
]

describe.each([
  ['s3', s3],
  ['http', http]
])('to %s', (name, start) => {
  describe.each(['raw', 'qcow2'] as const)('%s', (format) => {
    it.each(FAULTS)('is whole although a part %s', async (_case, fault, times) => {
      await using place = await start()
      place.faults.inject(fault, place.isPart, times)

      const { sent, object, lostBytes } = await send(place, format)

      const whole = expected.get(format) ?? Buffer.alloc(0)
      expect(object?.equals(whole)).toBe(true)
      expect(sent.bytes).toBe(whole.length)
      if (sent.sha256 !== null) expect(sent.sha256).toBe(sha256(whole))
      expect(lostBytes).toBeLessThanOrEqual(times * (name === 's3' ? PART_BYTES : whole.length))
    })
  })

  it('waits as long as it is asked to', async () => {
    await using place = await start()
    place.faults.inject({ kind: 'answer', status: 429, headers: { 'retry-after': '7' } }, place.isPart)

    const { object, waits } = await send(place, 'raw')

    expect(waits).toEqual([7_500])
    expect(object?.length).toBe(SIZE)
  })

  it('ends the attempt when it is asked to wait for longer than a minute', async () => {
    await using place = await start()
    place.faults.inject({ kind: 'answer', status: 429, headers: { 'retry-after': '600' } }, place.isPart)

    await expect(send(place, 'raw')).rejects.toMatchObject({ code: 'DEST_THROTTLED', retryAfterMs: 600_000 })
  })

  it('ends the attempt, with nothing left, when a part is broken off always', async () => {
    await using place = await start()
    place.faults.inject({ kind: 'reset', afterBytes: 100 * KiB }, place.isPart, 99)
    const parts = () => place.faults.seen.filter(place.isPart).length

    await expect(send(place, 'raw', 4)).rejects.toMatchObject({ code: 'DEST_UNREACHABLE', permanent: false })
    expect(parts()).toBe(4)
  })

  it('ends the attempt at once when it is refused for good', async () => {
    await using place = await start()
    place.faults.inject({ kind: 'answer', status: 403 }, place.isPart, 99)

    await expect(send(place, 'raw')).rejects.toMatchObject({ permanent: true })
    expect(place.faults.seen.filter(place.isPart)).toHaveLength(1)
  })
})

describe('to s3', () => {
  it.each(['raw', 'qcow2'] as const)(
    'a part of %s with a bit that changed on the way is sent again',
    async (format) => {
      await using place = await s3()
      place.faults.inject({ kind: 'corrupt', atByte: 3 * MiB }, place.isPart)

      const { object, lostBytes } = await send(place, format)

      expect(object?.equals(expected.get(format) ?? Buffer.alloc(0))).toBe(true)
      expect(lostBytes).toBe(PART_BYTES)
    }
  )

  it.each<[string, Fault, number]>([
    ['is lost', { kind: 'lose answer' }, 1],
    ['is that the server is busy, three times', { kind: 'answer', status: 503 }, 3],
    ['is lost before it was heard, twice', { kind: 'reset', afterBytes: 1 }, 2]
  ])('the object is there although the answer to the completing call %s', async (_case, fault, times) => {
    await using place = await s3()
    place.faults.inject(fault, place.isCommit, times)

    const { object } = await send(place, 'raw')

    expect(object?.equals(expected.get('raw') ?? Buffer.alloc(0))).toBe(true)
  })
})
