import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Destination } from '../../../src/destinations/destination.ts'
import { failure } from '../../../src/destinations/failures.ts'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import type { VerifyLevel } from '../../../src/domain/export-options.ts'
import type { SentFile } from '../../../src/domain/task.ts'
import { sampleOf } from '../../../src/export/proof/compare-ranges.ts'
import { verifyObject } from '../../../src/export/proof/verify.ts'
import { AllocationMap } from '../../../src/formats/allocation-map.ts'
import { raw } from '../../../src/formats/raw.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { testEngine } from './one-task.ts'

const engine = testEngine()
const BYTES = 8 * MiB
const disk = memoryDisk(BYTES, [{ offset: MiB, length: 5 * MiB }])
const FILE = Buffer.alloc(BYTES)
await disk.read(FILE, 0)
const layout = raw.layout(await AllocationMap.of(disk))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes)
const WHOLE: SentFile = { bytes: BYTES, sha256: sha256(FILE).digest('hex'), composite: null, parts: 1 }

const PART = 3 * MiB
const digests = [0, PART, 2 * PART].map((at) => sha256(FILE.subarray(at, at + PART)).digest())
const COMPOSITE: SentFile = {
  ...WHOLE,
  sha256: null,
  composite: { sha256: sha256(Buffer.concat(digests)).digest('hex'), partBytes: PART }
}

async function look(level: VerifyLevel, stored: Buffer | undefined, sent = WHOLE, laidOut = true) {
  const { destination, objects } = memoryDestination()
  const target = uploadTarget('memory://place', BYTES)
  if (stored) objects.set(target.url.href, { bytes: stored, target })
  const original = { sent, checksums: ['md5'] as const, disk, layout: laidOut ? layout : undefined }
  return verifyObject(destination, target, original, level, engine, new AbortController().signal)
}

const flippedAt = (offset: number) => {
  const bytes = Buffer.from(FILE)
  bytes[offset] = (bytes[offset] ?? 0) ^ 1
  return bytes
}

describe('a look at the written object', () => {
  it.each<[VerifyLevel, SentFile, number]>([
    ['none', WHOLE, 0],
    ['etag', WHOLE, 0],
    ['ranges', WHOLE, 32],
    ['full', WHOLE, 1],
    ['full', COMPOSITE, 1]
  ])('at the level %s finds nothing wrong with what was sent', async (level, sent, rangesRead) => {
    expect((await look(level, FILE, sent)).verify).toEqual({ level, ok: true, rangesRead })
  })

  it('gives the digests of the whole where only those of the parts were known', async () => {
    expect((await look('full', FILE, COMPOSITE)).digests).toEqual({
      sha256: WHOLE.sha256,
      md5: createHash('md5').update(FILE).digest('hex')
    })
  })

  it.each<[VerifyLevel, string, Buffer | undefined, SentFile]>([
    ['etag', 'that is gone', undefined, WHOLE],
    ['etag', 'that is shorter', FILE.subarray(1), WHOLE],
    ['ranges', 'whose first byte differs', flippedAt(0), WHOLE],
    ['ranges', 'whose last byte differs', flippedAt(BYTES - 1), WHOLE],
    ['full', 'with one other bit', flippedAt(4 * MiB + 17), WHOLE],
    ['full', 'with one other bit, known by its parts', flippedAt(4 * MiB + 17), COMPOSITE]
  ])('at the level %s refuses an object %s', async (level, _case, stored, sent) => {
    await expect(look(level, stored, sent)).rejects.toMatchObject({ code: 'VERIFY_FAILED', permanent: false })
  })
})

it('credentials that may not look leave a warning at the lowest level', async () => {
  const { destination } = memoryDestination()
  const blind = { ...destination, find: async () => ({ status: 'unreadable' }) as const }
  const target = uploadTarget('memory://place', BYTES)
  const original = { sent: WHOLE, checksums: [], disk, layout }

  const verdict = await verifyObject(blind, target, original, 'etag', engine, new AbortController().signal)

  expect(verdict).toMatchObject({ verify: { level: 'etag', ok: false }, warnings: [{ code: 'VERIFY_NOT_POSSIBLE' }] })
})

describe('an upload whose answers show nothing of its bytes', () => {
  const unproved = { ...WHOLE, unproved: true } as const

  it.each<VerifyLevel>(['etag', 'ranges'])('is read back whole at the level %s, and says so', async (level) => {
    expect(await look(level, FILE, unproved)).toMatchObject({
      verify: { level: 'full', ok: true },
      digests: { sha256: WHOLE.sha256 },
      warnings: [{ code: 'VERIFY_READ_WHOLE' }]
    })
    await expect(look(level, flippedAt(4 * MiB + 17), unproved)).rejects.toMatchObject({ code: 'VERIFY_FAILED' })
  })

  it('is not read where that was not wanted, which leaves a warning', async () => {
    expect(await look('none', undefined, unproved)).toMatchObject({ warnings: [{ code: 'INTEGRITY_NOT_PROVED' }] })
  })

  it.each<[string, Partial<Destination>, boolean]>([
    ['seen', { find: async () => ({ status: 'unreadable' }) }, true],
    [
      'read',
      {
        read() {
          throw failure('writeOnly', 'host')
        }
      },
      true
    ],
    [
      'read now',
      {
        read() {
          throw failure('throttled', 'host')
        }
      },
      false
    ]
  ])('leaves a warning where it cannot be %s, unless that may pass', async (_, changes, lasting) => {
    const { destination, objects } = memoryDestination()
    const target = uploadTarget('memory://place', BYTES)
    objects.set(target.url.href, { bytes: FILE, target })
    const original = { sent: unproved, checksums: [], disk, layout }

    const verdict = verifyObject(
      { ...destination, ...changes },
      target,
      original,
      'etag',
      engine,
      new AbortController().signal
    )

    if (lasting) {
      expect(await verdict).toMatchObject({ verify: { ok: false }, warnings: [{ code: 'INTEGRITY_NOT_PROVED' }] })
    } else {
      await expect(verdict).rejects.toMatchObject({ code: 'DEST_THROTTLED' })
    }
  })
})

describe('the sample of ranges', () => {
  it.each([1, 64 * KiB, 64 * KiB + 1, 2 * MiB])('is all of a file of %i bytes', (length) => {
    const ranges = sampleOf(length, 'seed')

    expect(ranges.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(length)
    expect(ranges.at(-1)?.to).toBe(length)
  })

  it('is 32 ranges of a large one, in order and apart, with both ends, the same for one seed', () => {
    const length = 10 * 1024 * MiB + 5
    const ranges = sampleOf(length, 'seed')

    expect(ranges).toHaveLength(32)
    expect(ranges[0]).toEqual({ from: 0, to: 64 * KiB })
    expect(ranges.at(-1)).toEqual({ from: length - 5, to: length })
    expect(ranges.every(({ from }, i) => i === 0 || from >= (ranges[i - 1]?.to ?? 0))).toBe(true)
    expect(sampleOf(length, 'seed')).toEqual(ranges)
    expect(sampleOf(length, 'other')).not.toEqual(ranges)
  })
})
