import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { Bandwidth } from '../../../src/export/attempt/bandwidth.ts'
import { ProgressMeter } from '../../../src/export/attempt/progress-meter.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { memoryUpload } from '../../support/memory-upload.ts'

const never = new AbortController().signal

function meterAt(percent = 0) {
  const time = { at: 1_000_000 }
  const meter = new ProgressMeter(() => time.at, { percent }, undefined, new Bandwidth(undefined))
  return { meter, time }
}
const FILE = { length: 4 * MiB, exact: true, measured: false }
async function* chunks(...sizes: number[]) {
  for (const size of sizes) yield Buffer.alloc(size)
}

describe('the percentage', () => {
  it('is of both passes where the file is measured first', () => {
    const { meter } = meterAt()
    meter.measuring(0.5)
    expect(meter.look().percent).toBe(25)

    meter.sending({ ...FILE, measured: true })
    meter.share(0.5)

    expect(meter.look().percent).toBe(75)
  })

  it('never goes back: not when a part is sent again, and not behind an earlier attempt', () => {
    const { meter } = meterAt(40)
    const seen: number[] = []
    for (const share of [0.1, 0.3, 0.5, 0.2, 0.6]) {
      meter.share(share)
      seen.push(meter.look().percent)
    }

    expect(seen).toEqual([40, 40, 50, 50, 60])
  })
})

describe('a scrub', () => {
  it('is told while it lasts, and does not go back where it is begun anew another way', () => {
    const { meter } = meterAt()
    meter.enter('scrubbing')
    const seen: unknown[] = [meter.look().scrub]
    for (const [step, done] of [
      ['checking', 0],
      ['logs', 4],
      ['checking', 0],
      ['secrets', 5]
    ] as const) {
      meter.scrubbing({ step, done, of: 7 })
      seen.push(meter.look().scrub)
    }
    meter.enter('transferring')

    expect(seen).toEqual([
      undefined,
      { step: 'checking', done: 0, of: 7 },
      { step: 'logs', done: 4, of: 7 },
      { step: 'checking', done: 4, of: 7 },
      { step: 'secrets', done: 5, of: 7 }
    ])
    expect(meter.look().scrub).toBeUndefined()
  })
})

describe('bytes', () => {
  it('are sent when they were taken, acknowledged when their part was, and neither when it failed', async () => {
    const { meter } = meterAt()
    meter.sending(FILE)
    const { upload } = memoryUpload(4 * MiB, { partBytes: MiB })
    await meter.counted(upload).putPart({ number: 1, offset: 0, length: MiB }, chunks(MiB), never)
    expect(meter.look()).toMatchObject({ total: 4 * MiB, sent: MiB, acked: MiB })

    const refusing = memoryUpload(4 * MiB, {
      partBytes: MiB,
      async put(_part, body) {
        for await (const _chunk of body);
        expect(meter.look()).toMatchObject({ sent: 2 * MiB, acked: MiB })
        throw failure('throttled', 'memory')
      }
    })
    meter.enter('transferring')
    const refused = meter.counted(refusing.upload).putPart({ number: 2, offset: MiB, length: MiB }, chunks(MiB), never)

    await expect(refused).rejects.toMatchObject({ code: 'DEST_THROTTLED' })
    expect(meter.look()).toMatchObject({ sent: MiB, acked: MiB, throttled: true })
  })

  it('that an earlier attempt has sent count from the beginning, but not for the rate', async () => {
    const { meter, time } = meterAt()
    meter.enter('transferring')
    meter.look()
    time.at += 1000
    meter.sending(FILE, [
      { number: 1, bytes: MiB },
      { number: 2, bytes: MiB }
    ])
    expect(meter.look()).toMatchObject({ sent: 2 * MiB, acked: 2 * MiB, bytesPerSecond: null })

    const { upload } = memoryUpload(4 * MiB, { partBytes: MiB })
    await meter.counted(upload).putPart({ number: 3, offset: 2 * MiB, length: MiB }, chunks(MiB), never)

    expect(meter.look()).toMatchObject({ sent: 3 * MiB, acked: 3 * MiB })
  })

  it('that are sent again are counted: what was taken of a part that failed, all of one that was lost', async () => {
    const { meter } = meterAt()
    meter.sending(FILE)
    const part = { number: 1, offset: 0, length: MiB }
    const refusing = memoryUpload(4 * MiB, {
      put: async (_part, body) => {
        for await (const _chunk of body);
        throw failure('throttled', 'memory')
      }
    })
    await expect(meter.counted(refusing.upload).putPart(part, chunks(1000), never)).rejects.toThrow()
    expect(meter.look()).not.toHaveProperty('resent')

    const upload = meter.counted(memoryUpload(4 * MiB, { partBytes: MiB }).upload, new Set([2]))
    await upload.putPart({ number: 2, offset: MiB, length: MiB }, chunks(MiB), never)
    expect(meter.look().resent).toBe(MiB)
    await meter.counted(memoryUpload(4 * MiB, { partBytes: MiB }).upload).putPart(part, chunks(MiB), never)
    expect(meter.look().resent).toBe(MiB + 1000)
  })

  it('of the disk are data that was read, once, and the zeros between', async () => {
    const { meter } = meterAt()
    const disk = meter.watched(
      memoryDisk(MiB, [
        { offset: 0, length: 100_000 },
        { offset: 400_000, length: 100_000 }
      ]),
      200_000
    )
    await disk.read(Buffer.alloc(100_000), 0)
    await disk.read(Buffer.alloc(100_000), 400_000)
    expect(meter.look()).toMatchObject({ data: 200_000, zero: 300_000 })

    await disk.read(Buffer.alloc(100_000), 0) // a second pass
    meter.share(1)

    expect(meter.look()).toMatchObject({ data: 200_000, zero: MiB - 200_000 })
  })
})

describe('rates', () => {
  it('are smoothed, and tell how long it will take', async () => {
    const { meter, time } = meterAt()
    meter.sending(FILE)
    meter.enter('transferring')
    const { upload } = memoryUpload(4 * MiB, { partBytes: 4 * MiB })
    const looks: ReturnType<typeof meter.look>[] = [meter.look()]
    async function* steadily() {
      for (let sent = 0; sent < 4; sent++) {
        yield Buffer.alloc(MiB)
        time.at += 1000
        meter.share((sent + 1) / 8)
        looks.push(meter.look())
      }
    }
    await meter.counted(upload).putPart({ number: 1, offset: 0, length: 4 * MiB }, steadily(), never)

    expect(looks.map(({ bytesPerSecond }) => bytesPerSecond)).toEqual([null, MiB, MiB, MiB, MiB])
    expect(looks.map(({ secondsLeft }) => secondsLeft)).toEqual([null, 7, 6, 5, 4])
  })

  it('are not told of what is not being sent', () => {
    const { meter } = meterAt()
    meter.enter('verifying')
    expect(meter.look()).toMatchObject({ bytesPerSecond: null, secondsLeft: null, stalled: false })
  })
})

it('a destination that is given nothing has not stalled while parts pass that it has already', () => {
  const { meter, time } = meterAt()
  meter.enter('transferring')
  for (const share of [0.1, 0.2]) {
    time.at += 50_000
    meter.share(share)
  }
  expect(meter.look().stalled).toBe(false)
})

it('a destination that takes nothing for a minute has stalled', () => {
  const { meter, time } = meterAt()
  meter.enter('transferring')
  time.at += 59_999
  expect(meter.look().stalled).toBe(false)

  time.at += 1

  expect(meter.look().stalled).toBe(true)
})
