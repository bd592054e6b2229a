import { expect, it } from 'vitest'
import { Bandwidth } from '../../../src/export/attempt/bandwidth.ts'

/** A clock that moves only when somebody waits. */
function slowly(bytesPerSecond: number) {
  const time = { at: 5_000, waited: 0 }
  const bandwidth = new Bandwidth(bytesPerSecond, {
    now: () => time.at,
    async wait(ms) {
      time.at += ms
      time.waited += ms
    }
  })
  return { bandwidth, time }
}
const never = new AbortController().signal

it('bytes wait for those before them, and no longer', async () => {
  const { bandwidth, time } = slowly(1_000)

  for (let i = 0; i < 10; i++) await bandwidth.take(500, never)

  expect(time.waited).toBe(9 * 500) // the first goes at once
})

it('a pause is not made up for by a burst', async () => {
  const { bandwidth, time } = slowly(1_000)
  await bandwidth.take(1_000, never)
  time.at += 3_600_000

  await bandwidth.take(1_000, never)
  await bandwidth.take(1_000, never)

  expect(time.waited).toBe(1_000)
})

it('waiting ends with the attempt', async () => {
  const bandwidth = new Bandwidth(1)
  await bandwidth.take(1_000_000, never)

  await expect(bandwidth.take(1, AbortSignal.abort(new Error('lease lost')))).rejects.toThrow()
})

it('another speed holds for those who wait already', async () => {
  const { bandwidth, time } = slowly(1_000)
  await bandwidth.take(10_000, never)
  const waiting = bandwidth.take(1, never) // for 10 seconds
  bandwidth.allow(100_000)

  await waiting

  expect(time.waited).toBeLessThan(1_000)
})

it('no limit is no waiting, also after one', async () => {
  const { bandwidth, time } = slowly(1_000)
  await bandwidth.take(10_000, never)

  bandwidth.allow(undefined)
  await bandwidth.take(10_000, never)

  expect([time.waited, bandwidth.wasHeldBack()]).toEqual([0, false])
})
