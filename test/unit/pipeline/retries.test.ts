import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import { SITUATIONS, type Situation } from '../../../src/destinations/situations.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { SourceReadFailed } from '../../../src/domain/errors.ts'
import { StagingFull } from '../../../src/domain/temp-url-errors.ts'
import { Retries, retryRules } from '../../../src/pipeline/retries.ts'
import { impatientRules } from '../../support/sending.ts'

const never = new AbortController().signal
const SMALL = { length: MiB, parts: 1 }

/** Fails `times` times with this, then succeeds. */
function failing(error: unknown, times: number) {
  const work = {
    tries: 0,
    run: async () => {
      work.tries++
      if (work.tries <= times) throw error
      return 'done'
    }
  }
  return work
}

describe('what went wrong is tried again', () => {
  it.each(Object.keys(SITUATIONS) as Situation[])('or not: %s', async (situation) => {
    const error = failure(situation, 'host.example')
    const work = failing(error, 1)
    const outcome = new Retries(impatientRules(), SMALL).run(never, work.run)

    if (SITUATIONS[situation].permanent) await expect(outcome).rejects.toBe(error)
    else await expect(outcome).resolves.toBe('done')
    expect(work.tries).toBe(SITUATIONS[situation].permanent ? 1 : 2)
  })

  it.each([
    ['a source that cannot be read', new SourceReadFailed('bad sector')],
    ['a disk of ours that is full', new StagingFull()],
    ['a fault of the program', new TypeError('x is not a function')]
  ])('but not for %s, which is no fault of the destination', async (_case, error) => {
    const work = failing(error, 1)

    await expect(new Retries(impatientRules(), SMALL).run(never, work.run)).rejects.toBe(error)
    expect(work.tries).toBe(1)
  })

  it('up to a number of times, each after a longer time below a bound', async () => {
    const error = failure('serverError', 'h')
    const rules = impatientRules({ tries: 8, random: () => 1 })
    const work = failing(error, 99)

    await expect(new Retries(rules, SMALL).run(never, work.run)).rejects.toBe(error)

    expect(work.tries).toBe(8)
    expect(rules.waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
  })

  it('after a random time, so that those who failed together do not come back together', async () => {
    const rules = impatientRules({ random: () => 0.25 })
    await new Retries(rules, SMALL).run(never, failing(failure('throttled', 'h'), 2).run)

    expect(rules.waits).toEqual([250, 500])
  })

  it('not before the destination wants it', async () => {
    const rules = impatientRules()
    await new Retries(rules, SMALL).run(never, failing(failure('throttled', 'h', { retryAfterMs: 17_000 }), 1).run)

    expect(rules.waits).toEqual([17_500])
  })

  it('by the whole task when that is in more than a minute', async () => {
    const error = failure('throttled', 'h', { retryAfterMs: 60_001 })
    const rules = impatientRules()

    await expect(new Retries(rules, SMALL).run(never, failing(error, 1).run)).rejects.toBe(error)
    expect(rules.waits).toEqual([])
  })

  it('not when the attempt ends, also while it waits', async () => {
    const stop = new AbortController()
    const reason = new Error('lease lost')
    const work = failing(failure('throttled', 'h', { retryAfterMs: 50_000 }), 1)
    const retries = new Retries(retryRules(8), SMALL, () => setImmediate(() => stop.abort(reason)))

    await expect(retries.run(stop.signal, work.run)).rejects.toBe(reason)
    expect(work.tries).toBe(1)
  })
})

describe('one attempt', () => {
  const spend = async (retries: Retries, works: number, lostBytes = 0) => {
    for (let done = 0; done < works; done++) {
      const ended = retries.run(never, failing(failure('brokenOff', 'h'), 1).run, () => lostBytes)
      if ((await ended.catch(() => 'ended')) === 'ended') return done
    }
    return works
  }

  it('stands 32 failures in all, and more of a file in many parts', async () => {
    expect(await spend(new Retries(impatientRules(), { length: MiB, parts: 1 }), 999)).toBe(33)
    expect(await spend(new Retries(impatientRules(), { length: MiB, parts: 10_000 }), 9_999)).toBe(1_032)
  })

  it('sends no more in vain than the file is long, or 256 MiB', async () => {
    const large = new Retries(impatientRules(), { length: 1000 * MiB, parts: 1 })
    expect(await spend(large, 99, 400 * MiB)).toBe(2)
    expect(large.lostBytes).toBe(1200 * MiB)
    expect(await spend(new Retries(impatientRules(), { length: MiB, parts: 1 }), 99, 100 * MiB)).toBe(2)
  })

  it('tells of every retry', async () => {
    const seen: object[] = []
    const error = failure('brokenOff', 'h')
    const retries = new Retries(impatientRules(), SMALL, (retry) => seen.push(retry))
    await retries.run(never, failing(error, 2).run)

    expect(seen).toEqual([
      { error, tries: 1, delayMs: 500 },
      { error, tries: 2, delayMs: 1000 }
    ])
  })
})
