import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import { KiB } from '../../../src/domain/bytes.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe('an attempt', () => {
  it('writes the file, proves it and says so', async () => {
    const place = memoryDestination()
    const { row, url, runOnce } = oneTask(place.destination, engine)

    await runOnce()

    expect(row).toMatchObject({
      status: 'success',
      result: {
        location: url,
        bytes: IMAGE.length,
        sha256: sha256(IMAGE),
        etag: '"e-1"',
        verify: { level: 'etag', ok: true, rangesRead: 0 }
      }
    })
    expect(place.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
  })

  it('asks everything before the first byte, and ends on the first refusal', async () => {
    const place = memoryDestination({
      checks: [
        { id: 'dest.auth', run: () => Promise.reject(failure('unauthorized', 'memory')) },
        { id: 'dest.write_probe', run: () => Promise.reject(new Error('asked in spite of that')) }
      ]
    })
    const { row, runOnce } = oneTask(place.destination, engine)

    await runOnce()

    expect(row).toMatchObject({ status: 'failure', failure: { code: 'DEST_AUTH_FAILED', phase: 'preflight' } })
    expect(place.calls).toEqual([])
  })

  it('comes again after the pause that the destination asks for', async () => {
    const place = memoryDestination({
      checks: [
        { id: 'dest.auth', run: () => Promise.reject(failure('throttled', 'memory', { retryAfterMs: 700_000 })) }
      ]
    })
    const { row, runOnce } = oneTask(place.destination, engine)

    await runOnce()

    expect(row.released).toMatchObject([{ delayMs: expect.toSatisfy((delay) => delay >= 700_000) }])
  })

  it('reports what it removed after a failure', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'putPart') throw failure('forbidden', 'memory')
      }
    })
    const { row, runOnce } = oneTask(place.destination, engine)

    await runOnce()

    expect(row).toMatchObject({
      status: 'failure',
      failure: { code: 'DEST_FORBIDDEN', phase: 'transferring' },
      cleanup: { state: 'done', removed: ['partial object'], left: [] }
    })
  })

  it('reports what it had to leave, and why', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'putPart' || call === 'abort') throw failure('forbidden', 'memory')
      }
    })
    const { row, runOnce } = oneTask(place.destination, engine)

    await runOnce()

    expect(row.failure?.code).toBe('DEST_FORBIDDEN')
    expect(row.cleanup).toEqual({
      state: 'partial',
      removed: [],
      left: [{ what: 'the partial upload', why: expect.stringContaining('memory does not let these credentials') }]
    })
  })
})

describe('the attempt after one whose worker died', () => {
  /** Runs an attempt whose settling is lost. */
  const dieSettling = async (task: ReturnType<typeof oneTask>) => {
    const { settleSuccess, release } = task.tasks
    Object.assign(task.tasks, {
      settleSuccess: () => Promise.reject(new Error('the worker is dead')),
      release: () => Promise.reject(new Error('the worker is dead'))
    })
    await task.runOnce()
    Object.assign(task.tasks, { settleSuccess, release })
  }

  it.each([
    ['marks', true],
    ['the name alone', false]
  ])('settles what was complete already, known by %s, and sends nothing', async (_case, marks) => {
    const place = memoryDestination({ marks })
    const task = oneTask(place.destination, engine, { options: { verify: 'full' } })
    await dieSettling(task)
    place.calls.length = 0

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'success', attempts: 2, result: { sha256: sha256(IMAGE) } })
    expect(place.calls).not.toContain('open')
    expect(place.calls).not.toContain('discard')
    expect(place.calls).toContain('read')
  })

  it('sends again what has gone meanwhile, and first removes what was left', async () => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine)
    await dieSettling(task)
    place.objects.clear()
    place.calls.length = 0

    await task.runOnce()

    expect(place.calls.slice(0, 2)).toEqual(['find', 'discard'])
    expect(place.objects.get(task.url)?.bytes.equals(IMAGE)).toBe(true)
    expect(task.row).toMatchObject({ status: 'success', cleanup: { removed: ['what a dead worker left'] } })
  })

  it("does not take another's object for its own", async () => {
    const place = memoryDestination()
    const named = { options: { object: { key_template: 'disk.raw' } } }
    const task = oneTask(place.destination, engine, named)
    await dieSettling(task)
    const other = oneTask(place.destination, engine, {
      options: { object: { key_template: 'disk.raw', if_exists: 'replace' } }
    })
    await other.runOnce()

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS' } })
    expect(place.objects.get(task.url)?.target.marks.taskId).toBe(other.task.id)
  })
})

describe('an object that is not what was sent', () => {
  const flipped = (bytes: Buffer) => {
    const other = Buffer.from(bytes)
    other[100] = (other[100] ?? 0) ^ 1
    return other
  }

  it('is removed, and sent again', async () => {
    let bad = true
    const place = memoryDestination({ spoil: (bytes) => (bad ? flipped(bytes) : bytes) })
    const { row, url, runOnce } = oneTask(place.destination, engine, { options: { verify: 'full' } })

    await runOnce()
    expect(row).toMatchObject({
      status: 'queued',
      released: [{ message: expect.stringContaining('another SHA-256') }],
      cleanup: { state: 'done', removed: ['object'] }
    })
    expect(place.objects.size).toBe(0)

    bad = false
    await runOnce()
    expect(row).toMatchObject({ status: 'success', result: { verify: { level: 'full', ok: true } } })
    expect(place.objects.get(url)?.bytes.equals(IMAGE)).toBe(true)
  })

  it('is told of when the destination keeps it', async () => {
    const place = memoryDestination({ spoil: flipped })
    const kept = { ...place.destination, remove: async () => {} }
    const { row, runOnce } = oneTask(kept, engine, { options: { verify: 'full' } })

    await runOnce()

    expect(row).toMatchObject({
      cleanup: {
        state: 'partial',
        removed: [],
        left: [{ what: 'the written object', why: expect.stringContaining('remove it there') }]
      }
    })
  })

  it('is not left behind when the last attempt fails on it', async () => {
    const place = memoryDestination({ spoil: flipped })
    const { row, runOnce } = oneTask(place.destination, engine, { options: { verify: 'ranges' } })

    for (let attempt = 0; attempt < 3; attempt++) await runOnce()

    expect(row).toMatchObject({
      status: 'failure',
      failure: { code: 'VERIFY_FAILED', phase: 'verifying', attempts: 3 }
    })
    expect(row.message).not.toContain('again')
    expect(place.objects.size).toBe(0)
  })

  it('may not be read at all: the user has to choose, and nothing is left', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'read') throw failure('forbidden', 'memory')
      }
    })
    const { row, runOnce } = oneTask(place.destination, engine, { options: { verify: 'full' } })

    await runOnce()

    expect(row).toMatchObject({ status: 'failure', message: expect.stringContaining('"verify": "none"') })
    expect(place.objects.size).toBe(0)
  })

  it('may be written after all when a passing trouble keeps it from being read', async () => {
    let silent = true
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'read' && silent) throw failure('throttled', 'memory')
      }
    })
    const { row, url, runOnce } = oneTask(place.destination, engine, { options: { verify: 'full' } })

    await runOnce()
    expect(row.status).toBe('queued')
    expect(place.objects.has(url)).toBe(true)
    silent = false
    await runOnce()

    expect(row.status).toBe('success')
    expect(place.calls.filter((call) => call === 'open')).toHaveLength(1)
  })
})

describe('an object of that name', () => {
  const named = (if_exists?: 'fail' | 'replace' | 'suffix' | 'reuse') => ({
    options: { object: { key_template: 'disk.raw', ...(if_exists && { if_exists }) } }
  })
  const written = async (place: ReturnType<typeof memoryDestination>, request = named()) => {
    const task = oneTask(place.destination, engine, request)
    await task.runOnce()
    return task
  }

  it('makes the task fail in its preflight', async () => {
    const place = memoryDestination()
    await written(place)

    const { row } = await written(place)

    expect(row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS', phase: 'preflight' } })
  })

  it('is replaced', async () => {
    const place = memoryDestination()
    await written(place)

    const { row, task, url } = await written(place, named('replace'))

    expect(row.status).toBe('success')
    expect(place.objects.get(url)?.target.marks.taskId).toBe(task.id)
  })

  it('is left, and the new one gets the next free name, in every attempt the same', async () => {
    const place = memoryDestination()
    await written(place)
    await written(place, named('suffix'))
    const task = oneTask(place.destination, engine, named('suffix'))
    const { startTransfer } = task.tasks
    Object.assign(task.tasks, { startTransfer: () => Promise.reject(new Error('the worker is dead')) })
    await task.runOnce()
    expect(task.row.suffix).toBe(2)
    place.objects.delete('memory://place/folder/disk-1.raw')
    Object.assign(task.tasks, { startTransfer })

    await task.runOnce()

    expect(task.row.result?.location).toBe('memory://place/folder/disk-2.raw')
  })

  it('is used when it has the same bytes', async () => {
    const place = memoryDestination()
    await written(place)
    place.calls.length = 0

    const { row } = await written(place, named('reuse'))

    expect(row).toMatchObject({ status: 'success', result: { reused: true, bytes: IMAGE.length, parts: 0 } })
    expect(place.calls).not.toContain('open')
  })

  it('is not used when it has others', async () => {
    const place = memoryDestination()
    await written(place, { ...named(), exportFormat: 'vdi' } as never)

    const { row } = await written(place, named('reuse'))

    expect(row.failure?.code).toBe('DEST_OBJECT_EXISTS')
  })

  it('is used where no marks are kept, when its manifest says what it is', async () => {
    const place = memoryDestination({ marks: false })
    await written(place, { options: { ...named().options, sidecars: ['manifest'] } } as never)

    const { row } = await written(place, named('reuse'))

    expect(row).toMatchObject({ status: 'success', result: { reused: true, sha256: sha256(IMAGE) } })
  })

  it('is not used where no marks are kept and nothing says what it is', async () => {
    const place = memoryDestination({ marks: false })
    await written(place)

    const { row } = await written(place, named('reuse'))

    expect(row.failure?.code).toBe('DEST_OBJECT_EXISTS')
  })
})

describe('a compressed file whose head is sent last', () => {
  const zlib = { exportFormat: 'qcow2', formatOptions: { compression: 'zlib' } } as const
  const parts = { anyOrder: true, partBytes: 64 * KiB }

  it('has its SHA-256 after it was read back whole', async () => {
    const place = memoryDestination(parts)
    const { row, url } = await runOf(place, { verify: 'full' })

    const whole = sha256(place.objects.get(url)?.bytes ?? Buffer.of())
    expect(row.result).toMatchObject({ sha256: whole, verify: { level: 'full', ok: true } })
  })

  const runOf = async (place: ReturnType<typeof memoryDestination>, options: object) => {
    const task = oneTask(place.destination, engine, { ...zlib, options })
    await task.runOnce()
    return task
  }
})
