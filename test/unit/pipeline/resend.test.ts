import { createHash } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import type { Part } from '../../../src/destinations/destination.ts'
import { failure } from '../../../src/destinations/failures.ts'
import { type ByteSource, MiB } from '../../../src/domain/bytes.ts'
import { DestinationError } from '../../../src/domain/destination-errors.ts'
import { SourceReadFailed } from '../../../src/domain/errors.ts'
import type { Format } from '../../../src/formats/format.ts'
import { packedQcow2 } from '../../../src/formats/packed-qcow2.ts'
import type { PackedFormat } from '../../../src/formats/packing.ts'
import { raw } from '../../../src/formats/raw.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { createCompressors } from '../../../src/pipeline/compressors.ts'
import { prepareShipment } from '../../../src/pipeline/shipment.ts'
import type { Wants } from '../../../src/pipeline/wants.ts'
import { memoryUpload } from '../../support/memory-upload.ts'
import { mixedDisk } from '../../support/mixed-disk.ts'
import { NOTHING_MORE, sendingTo } from '../../support/sending.ts'

const engine = { hashers: createHashers(2), compressors: createCompressors(2), buffers: new Buffers() }
afterAll(() => Promise.all([engine.hashers.close(), engine.compressors.close()]))

const SIZE = 12 * MiB
const makeDisk = () => mixedDisk(SIZE, [{ offset: MiB, length: 9 * MiB, kind: 'noise' }])
const zlib = packedQcow2({ name: 'zlib', level: 1, windowBits: 12 })
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

type Way = {
  readonly format: Format | PackedFormat
  readonly anyOrder: boolean
  readonly wants?: Partial<Wants>
  readonly partBytes?: number
  readonly parallel: number
  /** So that a first pass cannot be kept. */
  readonly noSpare?: boolean
}
const WAYS: [string, Way][] = [
  ['laid out, in one body', { format: raw, anyOrder: false, parallel: 1 }],
  ['laid out, part by part', { format: raw, anyOrder: true, partBytes: 3 * MiB, parallel: 1 }],
  ['laid out, in parts side by side', { format: raw, anyOrder: true, partBytes: 3 * MiB, parallel: 4 }],
  ['packed, its head last', { format: zlib, anyOrder: true, partBytes: 3 * MiB, parallel: 4 }],
  [
    'packed, in parts in order',
    { format: zlib, anyOrder: true, wants: { digests: ['md5'] }, partBytes: 3 * MiB, parallel: 4 }
  ],
  ['packed, in one body that is kept', { format: zlib, anyOrder: false, parallel: 1 }],
  ['packed, in one body that is made again', { format: zlib, anyOrder: false, parallel: 1, noSpare: true }]
]

type Misbehave = (part: Part, tries: number, body: ByteSource, store: () => Promise<void>) => Promise<void>

/** Sends the file to a place that does as `misbehave` says with every try of every part. */
async function send(way: Way, misbehave: Misbehave, disk = makeDisk(), signal?: AbortSignal) {
  const buffers = new Buffers()
  if (way.noSpare) while (buffers.takeSpare(MiB));
  const wants = { ...NOTHING_MORE, ...way.wants }
  using file = await prepareShipment(
    { disk, format: way.format },
    way.anyOrder,
    { ...engine, buffers },
    wants,
    new AbortController().signal,
    () => {}
  )
  const tries = new Map<number, number>()
  const made = memoryUpload(file.length, {
    partBytes: way.partBytes ?? file.length,
    parallel: way.parallel,
    put: (part, body, _signal, store) => {
      const nth = (tries.get(part.number) ?? 0) + 1
      tries.set(part.number, nth)
      return misbehave(part, nth, body, () => store(part, body))
    }
  })
  const sending = sendingTo(made.upload, signal)
  const shares: number[] = []
  const outcome = await file.send(sending, (share) => shares.push(share)).catch((error: unknown) => error)
  const result = outcome instanceof Error || outcome instanceof DestinationError ? undefined : outcome
  return {
    ...made,
    result: result as Awaited<ReturnType<typeof file.send>> | undefined,
    outcome,
    tries,
    shares,
    sending
  }
}

/** Takes that many bytes and then does what `then` does. */
async function takeSome(body: ByteSource, bytes: number, then: () => void) {
  let taken = 0
  for await (const chunk of body) {
    taken += chunk.length
    if (taken >= bytes) then()
  }
  then()
}
const reset = () => {
  throw failure('brokenOff', 'memory')
}

describe.each(WAYS)('a file %s', (_name, way) => {
  const wholeFile = async () => {
    const { file, result } = await send(way, (_part, _tries, _body, store) => store())
    return file.subarray(0, result?.bytes)
  }

  it.each([
    ['once', 1],
    ['twice', 2]
  ])('is whole and has its digest although a part was broken off %s on the way', async (_case, times) => {
    const expected = await wholeFile()
    const broken = way.partBytes === undefined ? 1 : 2

    const { file, result, tries, sending } = await send(way, (part, nth, body, store) =>
      part.number === broken && nth <= times ? takeSome(body, part.length / 2, reset) : store()
    )

    expect(tries.get(broken)).toBe(times + 1)
    expect(result?.bytes).toBe(expected.length)
    expect(file.subarray(0, expected.length).equals(expected)).toBe(true)
    if (result?.sha256 !== null) expect(result?.sha256).toBe(sha256(expected))
    expect(sending.retries.lostBytes).toBeGreaterThan(0)
    expect(sending.retries.lostBytes).toBeLessThanOrEqual(times * Math.min(way.partBytes ?? SIZE, SIZE))
  })

  it('is whole although every part had to be sent again after its last byte', async () => {
    const expected = await wholeFile()

    const { file, result, tries } = await send(way, (part, nth, body, store) =>
      nth === 1 ? takeSome(body, part.length, () => {}).then(reset) : store()
    )

    expect([...tries.values()].every((nth) => nth === 2)).toBe(true)
    expect(file.subarray(0, expected.length).equals(expected)).toBe(true)
    if (result?.sha256 !== null) expect(result?.sha256).toBe(sha256(expected))
  })

  it('is whole although its parts were refused before their first byte', async () => {
    const expected = await wholeFile()
    const { file, sending } = await send(way, async (_part, nth, _body, store) => {
      if (nth <= 3) throw failure('throttled', 'memory', { retryAfterMs: 1000 })
      await store()
    })

    expect(file.subarray(0, expected.length).equals(expected)).toBe(true)
    expect(sending.retries.lostBytes).toBe(0)
  })

  it('is given up when a part fails always, with nothing under way any more', async () => {
    const { outcome, tries, state } = await send(way, (part, _nth, body, store) =>
      part.number === 1 ? takeSome(body, part.length / 4, reset) : store()
    )

    expect(outcome).toMatchObject({ code: 'DEST_UNREACHABLE' })
    expect(tries.get(1)).toBe(8)
    expect(state.underWay).toBe(0)
  })

  it('is given up at once when it is refused for good', async () => {
    const { outcome, tries } = await send(way, async (part, _nth, _body, store) => {
      if (part.number === 1) throw failure('forbidden', 'memory')
      await store()
    })

    expect(outcome).toMatchObject({ code: 'DEST_FORBIDDEN' })
    expect(tries.get(1)).toBe(1)
  })

  it('is given up at once when the source fails, also while a part is sent again', async () => {
    const disk = makeDisk()
    let bad = false
    const dying = {
      ...disk,
      read: async (target: Uint8Array, offset: number) => {
        if (bad || offset > 6 * MiB) throw new SourceReadFailed('bad sector')
        await disk.read(target, offset)
      }
    }
    const { outcome } = await send(
      { ...way, noSpare: true },
      (part, nth, body, store) => {
        if (nth > 1) bad = true
        return nth === 1 ? takeSome(body, part.length / 3, reset) : store()
      },
      dying
    ).catch((error: unknown) => ({ outcome: error })) // a first pass fails already

    expect(outcome).toMatchObject({ code: 'SOURCE_READ_FAILED' })
  })

  it('goes back in its progress by what was lost, and ends where it would have', async () => {
    const { shares } = await send(way, (part, nth, body, store) =>
      nth === 1 && part.number === 1 ? takeSome(body, part.length / 2, reset) : store()
    )

    expect(Math.min(...shares)).toBeGreaterThanOrEqual(0)
    expect(shares.at(-1)).toBeCloseTo(1, 5)
    expect(Math.max(...shares)).toBeLessThanOrEqual(1)
  })

  it('gives all buffers back', async () => {
    const lent = { bytes: 0, most: 0 }
    class Counted extends Buffers {
      override take(bytes: number): Buffer {
        lent.bytes += bytes
        lent.most = Math.max(lent.most, lent.bytes)
        return super.take(bytes)
      }
      override giveBack(buffer: Buffer): void {
        lent.bytes -= buffer.length
        super.giveBack(buffer)
      }
    }
    const buffers = new Counted()
    const signal = new AbortController().signal
    const wants = { ...NOTHING_MORE, ...way.wants }
    {
      using file = await prepareShipment(
        { disk: makeDisk(), format: way.format },
        way.anyOrder,
        { ...engine, buffers },
        wants,
        signal,
        () => {}
      )
      const failed = new Set<number>()
      const { upload } = memoryUpload(file.length, {
        partBytes: way.partBytes ?? file.length,
        parallel: way.parallel,
        put: (part, body, _signal, store) => {
          if (failed.has(part.number)) return store(part, body)
          failed.add(part.number)
          return takeSome(body, part.length / 2, reset)
        }
      })
      await file.send(sendingTo(upload), () => {})
    }
    expect(lent.bytes).toBe(0)
  })
})

describe('a part of a laid-out file', () => {
  it('is read again only as far as it was used up', async () => {
    const disk = makeDisk()
    const { result } = await send(
      { format: raw, anyOrder: false, parallel: 1 },
      (_part, nth, body, store) => (nth === 1 ? takeSome(body, 4 * MiB, reset) : store()),
      disk
    )
    const readBytes = disk.reads.reduce((sum, { length }) => sum + length, 0)

    expect(result?.bytes).toBe(SIZE)
    expect(readBytes).toBeGreaterThan(9 * MiB)
    expect(readBytes).toBeLessThanOrEqual((9 + 4 + 6) * MiB) // and what was waiting in the pool
  })

  it('is not robbed by a try that failed while it waited for the disk', async () => {
    const disk = makeDisk()
    const slow = {
      ...disk,
      read: async (target: Uint8Array, offset: number) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        await disk.read(target, offset)
      }
    }
    const abandoned: Promise<unknown>[] = []
    const { file, result } = await send(
      { format: raw, anyOrder: false, parallel: 1 },
      async (_part, nth, body, store) => {
        if (nth > 3) return store()
        const chunks = body[Symbol.asyncIterator]()
        for (let i = 0; i < 4; i++) await chunks.next()
        abandoned.push(chunks.next()) // the answer comes while this is asked for
        await new Promise(setImmediate)
        void chunks.return?.()
        throw failure('throttled', 'memory')
      },
      slow
    )
    await Promise.all(abandoned)

    const expected = Buffer.alloc(SIZE)
    await disk.read(expected, 0)
    expect(file.equals(expected)).toBe(true)
    expect(result?.sha256).toBe(sha256(expected))
  })
})
