import { afterAll, describe, expect, it } from 'vitest'
import type { SentPart } from '../../../src/destinations/destination.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import type { Format } from '../../../src/formats/format.ts'
import { packedQcow2 } from '../../../src/formats/packed-qcow2.ts'
import type { PackedFormat } from '../../../src/formats/packing.ts'
import { qcow2 } from '../../../src/formats/qcow2.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { createCompressors } from '../../../src/pipeline/compressors.ts'
import { withKeptParts } from '../../../src/pipeline/kept-parts.ts'
import { prepareShipment } from '../../../src/pipeline/shipment.ts'
import type { Wants } from '../../../src/pipeline/wants.ts'
import { memoryUpload } from '../../support/memory-upload.ts'
import { mixedDisk } from '../../support/mixed-disk.ts'
import { NOTHING_MORE, sendingTo } from '../../support/sending.ts'

const engine = { hashers: createHashers(1), compressors: createCompressors(1), buffers: new Buffers() }
afterAll(() => Promise.all([engine.hashers.close(), engine.compressors.close()]))

const SIZE = 16 * MiB
const disk = mixedDisk(SIZE, [{ offset: 0, length: SIZE, kind: 'noise' }])
const packed = packedQcow2({ name: 'zlib', level: 1, windowBits: 12 })
const never = new AbortController().signal

type Way = readonly [string, Format | PackedFormat, Wants]
const WAYS: readonly Way[] = [
  ['laid out', qcow2(), NOTHING_MORE],
  ['packed in one pass', packed, NOTHING_MORE],
  ['packed in two passes', packed, { ...NOTHING_MORE, digests: ['sha256'] }]
]

/** Sends the file; `put` may look at every part that is begun, and wait. */
async function send(
  [, format, wants]: Way,
  { kept = [], draining, put }: { kept?: SentPart[]; draining?: AbortSignal; put?: (part: number) => Promise<void> }
) {
  using file = await prepareShipment({ disk, format }, true, engine, wants, never, () => {})
  const begun: number[] = []
  const ended: number[] = []
  const { upload, file: bytes } = memoryUpload(file.length, {
    partBytes: MiB,
    parallel: 3,
    put: async (part, body, _signal, store) => {
      begun.push(part.number)
      await put?.(part.number)
      await store(part, body)
      ended.push(part.number)
    }
  })
  const sending = { ...sendingTo(withKeptParts(upload, kept)), draining }
  const result = file.send(sending, () => {})
  return { begun, ended, bytes, result }
}

describe.each(WAYS)('a file %s', (...way) => {
  it('has the same digests when some of its parts are there already, and sends the others only', async () => {
    const whole = await send(way, {})
    const facts = await whole.result
    const kept = [1, 2, 3, 5, 9].map((number) => ({ number, bytes: MiB, tag: 'a' }))

    const { begun, bytes, result } = await send(way, { kept })

    expect(await result).toEqual(facts)
    const numbers = Array.from({ length: facts.parts }, (_, index) => index + 1)
    expect(begun.sort((a, b) => a - b)).toEqual(numbers.filter((one) => !kept.some(({ number }) => number === one)))
    for (const number of begun) {
      const [from, to] = [(number - 1) * MiB, Math.min(number * MiB, facts.bytes)]
      expect(bytes.subarray(from, to).equals(whole.bytes.subarray(from, to))).toBe(true)
    }
  })

  it('sends a part again that was kept with another length', async () => {
    const { begun, result } = await send(way, { kept: [{ number: 2, bytes: MiB - 1 }] })
    await result

    expect(begun).toContain(2)
  })

  it('begins no part any more once it is to be handed over, and ends those that it has begun', async () => {
    const stop = new AbortController()
    const reason = new Error('the worker is stopping')
    const { begun, ended, result } = await send(way, {
      draining: stop.signal,
      put: async (part) => {
        if (part !== 5) return
        stop.abort(reason)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })

    await expect(result).rejects.toBe(reason)
    expect(ended).toContain(5)
    expect(ended.sort()).toEqual(begun.sort())
    expect(begun.length).toBeLessThanOrEqual(8)
  })
})
