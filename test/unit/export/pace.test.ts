import { expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { Bandwidth } from '../../../src/export/attempt/bandwidth.ts'
import { Pace } from '../../../src/export/pace.ts'

const never = new AbortController().signal

/** A clock that moves on when everybody waits, to when the first of them may go on. */
function quickTime() {
  const sleepers: { readonly until: number; wake(): void }[] = []
  const time = {
    at: 0,
    now: () => time.at,
    wait: (ms: number) =>
      new Promise<void>((resolve) => {
        sleepers.push({ until: time.at + ms, wake: resolve })
      })
  }
  const run = async (ended: () => boolean) => {
    while (!ended()) {
      await new Promise(setImmediate)
      sleepers.sort((a, b) => a.until - b.until)
      const next = sleepers.shift()
      if (!next) continue
      time.at = Math.max(time.at, next.until)
      next.wake()
    }
  }
  return { time, run }
}

async function sendThrough(pace: Pace, bytes: number, onBytes: (bytes: number) => void) {
  for (let left = bytes; left > 0; left -= MiB)
    for await (const slice of pace.slices(Buffer.alloc(Math.min(left, MiB)), never)) onBytes(slice.length)
}

it('exports share what their worker may send, however many parts each has under way', async () => {
  const { time, run } = quickTime()
  const shared = new Bandwidth(2 * MiB, time)
  const [one, other] = [0, 0].map(() => new Pace(new Bandwidth(undefined, time), shared))
  if (!one || !other) throw new Error('two were wanted')
  const sent = { one: 0, other: 0 }

  const parts = [1, 2, 3, 4].map(() =>
    sendThrough(one, 8 * MiB, (bytes) => {
      sent.one += bytes
    })
  )
  let halfWay: typeof sent | undefined
  const last = sendThrough(other, 8 * MiB, (bytes) => {
    sent.other += bytes
    if (sent.other === 4 * MiB) halfWay = { ...sent }
  })
  let ended = false
  void Promise.all([...parts, last]).then(() => (ended = true))
  await run(() => ended)

  expect(halfWay?.one).toBeGreaterThan(3.5 * MiB)
  expect(halfWay?.one).toBeLessThan(4.5 * MiB)
  expect(time.at / 1000).toBeGreaterThan(40 / 2 - 1)
  expect(time.at / 1000).toBeLessThan(40 / 2 + 1)
  expect([one.wasHeldBack(), one.wasHeldBack()]).toEqual([true, false])
})

it('an export keeps its own limit too', async () => {
  const { time, run } = quickTime()
  const pace = new Pace(new Bandwidth(MiB, time), new Bandwidth(100 * MiB, time))
  let ended = false
  void sendThrough(pace, 10 * MiB, () => {}).then(() => (ended = true))
  await run(() => ended)

  expect(time.at / 1000).toBeGreaterThan(9)
  expect(time.at / 1000).toBeLessThan(11)
})

it('what is slow goes in small slices, so that nobody waits long for the next', async () => {
  const { time, run } = quickTime()
  const pace = new Pace(new Bandwidth(64 * KiB, time), new Bandwidth(undefined, time))
  const times: number[] = []
  let ended = false
  void sendThrough(pace, MiB, () => times.push(time.at)).then(() => (ended = true))
  await run(() => ended)

  expect(Math.max(...times.map((at, i) => at - (times[i - 1] ?? 0)))).toBeLessThanOrEqual(251)
})

it('without a limit chunks are not cut', async () => {
  const pace = new Pace(new Bandwidth(undefined), new Bandwidth(undefined))
  const slices: number[] = []
  await sendThrough(pace, 3 * MiB, (bytes) => slices.push(bytes))

  expect(slices).toEqual([MiB, MiB, MiB])
  expect(pace.wasHeldBack()).toBe(false)
})
