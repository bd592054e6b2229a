import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import type { ExportOptions } from '../../../src/domain/export-options.ts'
import { contentHashOf } from '../../support/content-hash.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const digest = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest('hex')

/** Throws for the first `times` calls of a kind. */
const failing = (kind: string, times: number, error = failure('throttled', 'memory')) => {
  let left = times
  return (call: string) => {
    if (call === kind && left-- > 0) throw error
  }
}

describe('within one attempt', () => {
  it.each(['putPart', 'commit'] as const)('a %s that failed passingly is tried again', async (call) => {
    const place = memoryDestination({ failing: failing(call, 3) })
    const { row, url, runOnce } = oneTask(place.destination, engine)

    await runOnce()

    expect(row).toMatchObject({ status: 'success', attempts: 1, result: { sha256: digest('sha256', IMAGE) } })
    expect(place.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
    expect(place.calls.filter((made) => made === 'open')).toHaveLength(1)
  })

  it.each(['putPart', 'commit'] as const)('a %s that is asked to pause for long is left to the next', async (call) => {
    const place = memoryDestination({
      failing: failing(call, 1, failure('throttled', 'memory', { retryAfterMs: 700_000 }))
    })
    const { row, runOnce } = oneTask(place.destination, engine)

    await runOnce()

    expect(row.released).toMatchObject([{ delayMs: expect.toSatisfy((delay) => delay >= 700_000) }])
  })

  it('a sidecar is tried again too', async () => {
    let parts = 0
    const place = memoryDestination({
      failing: (call) => {
        if (call !== 'putPart') return
        parts++
        if (parts === 2) throw failure('throttled', 'memory')
      }
    })
    const { row, runOnce } = oneTask(place.destination, engine, { options: { sidecars: ['sha256'] } })

    await runOnce()

    expect(row.result?.sidecars).toMatchObject({ sha256: expect.stringContaining('.sha256') })
    expect(row.warnings ?? []).toEqual([])
  })
})

describe('of a compressed file in parts of any order', () => {
  const compressed = (options: Partial<ExportOptions>) => ({
    exportFormat: 'qcow2',
    formatOptions: { compression: 'zlib' } as const,
    options
  })
  const write = async (options: Partial<ExportOptions>) => {
    const place = memoryDestination({ anyOrder: true, partBytes: 1000 })
    const { row, url, runOnce } = oneTask(place.destination, engine, compressed(options))
    await runOnce()
    return { row, bytes: place.objects.get(url)?.bytes ?? Buffer.alloc(0), place }
  }

  it('digests of the whole are there when they are asked for, and only then', async () => {
    const asked = await write({ checksums: ['sha512', 'md5'] })
    const unasked = await write({})

    expect(asked.row.result).toMatchObject({
      sha256: digest('sha256', asked.bytes),
      checksums: { sha512: digest('sha512', asked.bytes), md5: digest('md5', asked.bytes) },
      composite: null
    })
    expect(asked.row.result?.parts).toBeGreaterThan(1)
    expect(unasked.row.result).toMatchObject({ sha256: null, composite: { partBytes: 1000 } })
    expect(asked.bytes.equals(unasked.bytes)).toBe(true)
  })

  it('the file .sha256 can be written', async () => {
    const { row, bytes, place } = await write({ sidecars: ['sha256'] })
    const line = place.objects.get(String(row.result?.sidecars?.sha256))?.bytes.toString()

    expect(line).toContain(digest('sha256', bytes))
  })

  it('ranges are read back and compared with what was kept of them', async () => {
    const { row, place } = await write({ verify: 'ranges' })

    expect(row.result?.verify).toMatchObject({ level: 'ranges', ok: true })
    expect(row.result?.verify?.rangesRead).toBeGreaterThan(1)
    expect(place.calls.filter((call) => call === 'read')).toHaveLength(row.result?.verify?.rangesRead ?? 0)
    expect(row.warnings ?? []).toEqual([])
    expect(row.sent).not.toHaveProperty('sample')
  })

  it('ranges that differ fail the verification', async () => {
    const place = memoryDestination({
      anyOrder: true,
      partBytes: 1000,
      spoil: (bytes) => {
        const other = Buffer.from(bytes)
        other[other.length - 1] = (other.at(-1) ?? 0) ^ 1
        return other
      }
    })
    const { row, runOnce } = oneTask(place.destination, engine, compressed({ verify: 'ranges' }))

    await runOnce()

    expect(row.released).toMatchObject([{ message: expect.stringContaining('other bytes than were sent') }])
  })

  it('the whole is read back when another attempt has sent it, which kept no ranges', async () => {
    const place = memoryDestination({ anyOrder: true, partBytes: 1000 })
    const { row, tasks, runOnce } = oneTask(place.destination, engine, compressed({ verify: 'ranges' }))
    const { settleSuccess, release } = tasks
    const die = () => Promise.reject(new Error('the worker is dead'))
    Object.assign(tasks, { settleSuccess: die, release: die })
    await runOnce()
    Object.assign(tasks, { settleSuccess, release })

    await runOnce()

    expect(row).toMatchObject({ result: { verify: { level: 'full' } }, warnings: [{ code: 'VERIFY_READ_WHOLE' }] })
    expect(place.calls.filter((call) => call === 'open')).toHaveLength(1)
  })

  it('the hash of the content is that of the same disk in another format', async () => {
    const { row } = await write({ contentHash: true })
    const place = memoryDestination()
    const plain = oneTask(place.destination, engine, { exportFormat: 'vhdx', options: { contentHash: true } })
    await plain.runOnce()

    expect(row.result?.contentHash).toEqual({ algo: 'sha256-blocks-64k', value: contentHashOf(IMAGE) })
    expect(plain.row.result?.contentHash).toEqual(row.result?.contentHash)
  })
})
