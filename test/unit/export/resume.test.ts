import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Destination } from '../../../src/destinations/destination.ts'
import { failure } from '../../../src/destinations/failures.ts'
import { KiB } from '../../../src/domain/bytes.ts'
import { StagingFull } from '../../../src/domain/temp-url-errors.ts'
import { WorkerStopping } from '../../../src/export/attempt/attempt.ts'
import { LeaseLost } from '../../../src/export/ports.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const PART_BYTES = 256 * KiB
/** Of the raw image. */
const PARTS = 12
const LATER = failure('throttled', 'memory', { retryAfterMs: 700_000 })

/** A place that can be gone on with. `trouble` is asked before every part; `sent` counts how often each was begun. */
function place(behaviour: Parameters<typeof memoryDestination>[0] = {}) {
  const sent = new Map<number, number>()
  const refused: { call?: string; error?: unknown } = {}
  const trouble = { at: (_part: number): void | Promise<void> => {} }
  const made = memoryDestination({
    resumable: true,
    partBytes: PART_BYTES,
    ...behaviour,
    failing: (call, _target, part) => {
      if (call === refused.call) throw refused.error
      if (!part) return
      sent.set(part.number, (sent.get(part.number) ?? 0) + 1)
      return trouble.at(part.number)
    }
  })
  return {
    ...made,
    sent,
    /** What happens from now on when this part is begun. */
    atPart(number: number, then: () => void | Promise<void>) {
      trouble.at = (part) => (part === number ? then() : undefined)
    },
    calm() {
      trouble.at = () => {}
    },
    refuse: (call: string, error: unknown) => Object.assign(refused, { call, error }),
    count: (call: (typeof made.calls)[number]) => made.calls.filter((made) => made === call).length
  }
}
const later = () => {
  throw LATER
}
/** Of the parts that were begun more than once. */
const repeated = ({ sent }: ReturnType<typeof place>) =>
  [...sent].filter(([, times]) => times > 1).map(([part]) => part)

describe('an upload that broke off', () => {
  it('is left where it is, and gone on with by the next attempt', async () => {
    const to = place()
    const { row, url, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    expect(row).toMatchObject({ status: 'queued', released: [{ countAttempt: true }] })
    expect([to.unfinished.size, to.count('abort')]).toEqual([1, 0])

    to.calm()
    await runOnce()

    expect(row).toMatchObject({ status: 'success', result: { sha256: sha256(IMAGE), parts: PARTS } })
    expect(to.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
    expect([to.count('open'), to.count('discard'), to.unfinished.size]).toEqual([1, 0, 0])
    expect(row.cleanup).toBeUndefined()
    // The one that failed, and at most the other that was under way beside it.
    expect(repeated(to)).toContain(7)
    expect(repeated(to).length).toBeLessThanOrEqual(2)
    expect(row.progress).toMatchObject({ percent: 100, acked: IMAGE.length, sent: IMAGE.length })
    expect(row.progress?.resent).toBe(repeated(to).length * PART_BYTES)
  })

  it('tells of what it has from the beginning, and its percentage does not go back', async () => {
    const to = place()
    const { row, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    const { percent = 0 } = row.progress ?? {}
    expect(percent).toBeGreaterThan(40)

    to.atPart(7, () => {
      expect(row.progress?.percent).toBeGreaterThanOrEqual(percent)
      expect(row.progress?.acked).toBeGreaterThanOrEqual(5 * PART_BYTES)
    })
    await runOnce()

    expect(row.status).toBe('success')
  })

  it('is gone on with where a packed file leaves it, with the same bytes', async () => {
    const packed = { exportFormat: 'qcow2', formatOptions: { compression: 'zlib' } } as const
    const undisturbed = place({ anyOrder: true, partBytes: 1000 })
    const whole = oneTask(undisturbed.destination, engine, packed)
    await whole.runOnce()
    const parts = whole.row.result?.parts ?? 0
    expect(parts).toBeGreaterThan(5)

    const to = place({ anyOrder: true, partBytes: 1000 })
    const { row, url, runOnce } = oneTask(to.destination, engine, packed)
    to.atPart(1, later) // the head, which is sent last
    await runOnce()
    to.calm()
    await runOnce()

    expect(row).toMatchObject({ status: 'success', result: { composite: whole.row.result?.composite } })
    expect(to.objects.get(url)?.bytes).toEqual(undisturbed.objects.get(whole.url)?.bytes)
    expect(to.sent.size).toBe(parts)
    expect(repeated(to).length).toBeLessThanOrEqual(2)
  })

  it('is removed and begun anew when the bytes would be others', async () => {
    const to = place()
    const { row, url, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    row.uploadIdentity = 'of other bytes'

    to.calm()
    await runOnce()

    expect(to.calls).not.toContain('resume')
    expect([to.count('open'), to.count('discard'), to.unfinished.size]).toEqual([2, 1, 0])
    expect(row).toMatchObject({ status: 'success', cleanup: { removed: ['what a dead worker left'] } })
    expect(to.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
    expect(row.progress?.resent).toBe(repeated(to).length * PART_BYTES)
  })

  it.each([
    ['has gone meanwhile', (to: ReturnType<typeof place>) => to.unfinished.clear()],
    ['cannot be looked at', (to: ReturnType<typeof place>) => to.refuse('resume', failure('forbidden', 'memory'))]
  ])('is begun anew when it %s', async (_case, spoil) => {
    const to = place()
    const { row, url, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    to.calm()
    spoil(to)

    await runOnce()

    expect([row.status, to.count('open'), to.count('discard')]).toEqual(['success', 2, 1])
    expect(to.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
  })

  it('has a part sent again that the destination has lost', async () => {
    const to = place()
    const { row, url, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    for (const { parts, file } of to.unfinished.values()) {
      parts.delete(2)
      file.fill(0, PART_BYTES, 2 * PART_BYTES)
    }

    to.calm()
    await runOnce()

    expect(to.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
    expect(row.result?.sha256).toBe(sha256(IMAGE))
    expect(repeated(to)).toContain(2)
  })

  it('is removed with the last attempt, and the task says so', async () => {
    const to = place()
    const { row, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)

    for (let attempt = 0; attempt < 3; attempt++) await runOnce()

    expect(row).toMatchObject({ status: 'failure', cleanup: { state: 'done', removed: ['partial object'] } })
    expect([to.count('abort'), to.unfinished.size]).toEqual([1, 0])
  })

  it('is removed when the next attempt fails before it comes to that', async () => {
    const refused = { id: 'dest.auth', run: () => Promise.reject(failure('unauthorized', 'memory')) } as const
    const checks: (typeof refused)[] = []
    const to = place({ checks })
    const { row, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    checks.push(refused)

    await runOnce()

    expect(row).toMatchObject({ status: 'failure', failure: { code: 'DEST_AUTH_FAILED' } })
    expect(row.cleanup).toEqual({ state: 'done', removed: ['what a dead worker left'], left: [] })
    expect(to.unfinished.size).toBe(0)
  })

  it('is removed with a task that is canceled', async () => {
    const to = place()
    const { row, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    row.cancel = { by: 'user', reason: null, at: new Date() }

    await runOnce()

    expect(row).toMatchObject({ status: 'failure', cleanup: { state: 'done' } })
    expect(to.unfinished.size).toBe(0)
  })

  it.each([
    ['the disk that it is kept on is full', Object.assign(new Error('full'), { code: 'ENOSPC' })],
    ['there is no room for downloads', new StagingFull()]
  ])('is removed when %s, as others may wait for that room', async (_why, full) => {
    const to = place()
    const { row, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, () => {
      throw full
    })

    await runOnce()

    expect([row.status, to.unfinished.size, to.count('abort')]).toEqual(['queued', 0, 1])
  })

  it('that nobody has written down is looked for again when the destination could not say', async () => {
    const to = place()
    let answers = false
    const discard: Destination['discard'] = async () => {
      if (answers) return ['multipart upload']
      throw LATER
    }
    const { row, tasks, runOnce } = oneTask({ ...to.destination, discard }, engine)
    const { startTransfer } = tasks
    tasks.startTransfer = () => Promise.reject(new LeaseLost('somebody else has it'))
    await runOnce()
    Object.assign(tasks, { startTransfer })

    await runOnce()
    expect([row.status, to.objects.size]).toEqual(['queued', 0])
    answers = true
    await runOnce()

    expect(row).toMatchObject({ status: 'success', cleanup: { removed: ['multipart upload'] } })
  })

  it('is removed by a worker that loses its task before it could be written down, and looked for by the next', async () => {
    const to = place()
    const states: unknown[] = []
    const discard: Destination['discard'] = async (_target, state) => {
      states.push(state)
      return ['multipart upload']
    }
    const { row, tasks, runOnce } = oneTask({ ...to.destination, discard }, engine)
    const { startTransfer } = tasks
    tasks.startTransfer = () => Promise.reject(new LeaseLost('somebody else has it'))
    await runOnce()
    expect([to.unfinished.size, to.count('abort'), states]).toEqual([0, 1, []])

    Object.assign(tasks, { startTransfer })
    await runOnce()

    expect(states).toEqual([null])
    expect(row).toMatchObject({ status: 'success', cleanup: { removed: ['multipart upload'] } })
  })

  it('is removed when the object gets another name', async () => {
    const to = place()
    const named = { options: { object: { key_template: 'disk.raw', if_exists: 'suffix' } } } as const
    const { row, runOnce } = oneTask(to.destination, engine, named)
    to.atPart(7, later)
    await runOnce()
    to.calm()
    const other = memoryDestination()
    await oneTask(other.destination, engine, named).runOnce()
    for (const [url, object] of other.objects) to.objects.set(url, object)

    await runOnce()

    expect(row.result?.location).toBe('memory://place/folder/disk-1.raw')
    expect([to.count('discard'), to.unfinished.size]).toEqual([1, 0])
  })

  it('takes its room already: the next attempt does not ask whether there is enough', async () => {
    let asked = 0
    const limits = { id: 'dest.limits', run: async () => void asked++ } as const
    const to = place({ checks: [limits] })
    const { row, runOnce } = oneTask(to.destination, engine)
    to.atPart(7, later)
    await runOnce()
    to.calm()

    await runOnce()

    expect([row.status, asked]).toEqual(['success', 1])
  })

  it('is not gone on with when what came of it was bad', async () => {
    let bad = true
    const to = place({ spoil: (bytes) => (bad ? Buffer.alloc(bytes.length) : bytes) })
    const { row, url, runOnce } = oneTask(to.destination, engine, { options: { verify: 'full' } })
    await runOnce()
    expect(row.status).toBe('queued')

    bad = false
    await runOnce()

    expect(row.status).toBe('success')
    expect(to.calls).not.toContain('resume')
    expect(to.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
  })

  it('is not hidden from the next attempt by a database that takes no parts for a while', async () => {
    const to = place()
    const { row, tasks, runOnce } = oneTask(to.destination, engine)
    const { noteParts } = tasks
    let failures = 0
    tasks.noteParts = async (claim, parts) => {
      if (failures++ < 3) throw new Error('the database is away')
      await noteParts(claim, parts)
    }
    to.atPart(7, later)
    await runOnce()

    expect([...row.parts.values()].filter(({ sent }) => sent)).toHaveLength(to.unfinished.get('u-1')?.parts.size ?? -1)
  })
})

/** The place, taking nothing of one part until the signal fires; tells when that part was begun. */
const hanging = (destination: Destination, number: number, begun: () => void): Destination => ({
  ...destination,
  async open(...args) {
    const upload = await destination.open(...args)
    return {
      ...upload,
      putPart: (part, body, signal) =>
        part.number === number
          ? new Promise((_resolve, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason))
              begun()
            })
          : upload.putPart(part, body, signal)
    }
  }
})

describe('a worker that is asked to stop', () => {
  const stopping = () => {
    const stop = new AbortController()
    return { signal: stop.signal, stop: () => stop.abort(new WorkerStopping()) }
  }

  it.each([
    ['laid out', {}, PARTS],
    ['packed', { exportFormat: 'qcow2', formatOptions: { compression: 'zlib' } } as const, undefined]
  ])(
    'sends the parts of a %s file that it has begun, hands it over, and nothing is sent twice',
    async (_c, wanted, parts) => {
      const to = place({ anyOrder: true, ...(parts === undefined && { partBytes: 1000 }) })
      const { row, url, runOnce } = oneTask(to.destination, engine, wanted)
      const { signal, stop } = stopping()
      to.atPart(4, async () => {
        stop()
        await new Promise((resolve) => setTimeout(resolve, 20))
      })

      await runOnce(signal)

      expect(row).toMatchObject({ status: 'queued', released: [{ delayMs: 0, countAttempt: false }] })
      expect(row.parts.get(4)?.sent).toMatchObject({ number: 4 })
      expect([...row.parts.values()].every(({ sent }) => sent)).toBe(true)
      const before = to.sent.size
      to.calm()
      await runOnce()

      expect(row).toMatchObject({ status: 'success' })
      expect(to.objects.get(url)?.bytes).toHaveLength(row.result?.bytes ?? 0)
      expect(before).toBeLessThan(to.sent.size)
      expect(repeated(to)).toEqual([])
      expect(row.progress).not.toHaveProperty('resent')
      expect(to.count('abort')).toBe(0)
    }
  )

  it('breaks off what takes too long', async () => {
    const to = place()
    const { signal, stop } = stopping()
    const { row, runOnce } = oneTask(hanging(to.destination, 4, stop), engine)

    await runOnce(signal)

    expect(row).toMatchObject({ status: 'queued', released: [{ delayMs: 0, countAttempt: false }] })
    expect(row.parts.get(4)).toEqual({ number: 4, sent: null })
    expect([to.unfinished.size, to.count('abort')]).toEqual([1, 0])
  })

  it('lets the others come to their end, if they can', async () => {
    const to = place({ resumable: false })
    const { row, runOnce } = oneTask(to.destination, engine)
    const { signal, stop } = stopping()
    to.atPart(4, stop)

    await runOnce(signal)

    expect(row.status).toBe('success')
  })

  it('begins nothing', async () => {
    const to = place()
    const { row, runOnce } = oneTask(to.destination, engine)
    const { signal, stop } = stopping()
    stop()

    await runOnce(signal)

    expect([row.attempts, to.calls]).toEqual([0, []])
  })

  it('stops at once before there is anything at the destination', async () => {
    const { signal, stop } = stopping()
    const waiting = { id: 'dest.auth', run: () => new Promise<never>(stop) } as const
    const to = place({ checks: [waiting] })
    const { row, runOnce } = oneTask(to.destination, engine)

    await runOnce(signal)

    expect(row).toMatchObject({ status: 'queued', released: [{ delayMs: 0, countAttempt: false }] })
    expect(to.calls).toEqual([])
  })
})
