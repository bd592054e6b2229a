import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Part, SentPart, Upload, UploadState, UploadTarget } from '../../src/destinations/destination.ts'
import { taskId } from '../../src/domain/ids.ts'
import type { DestinationHarness } from './destination.contract.ts'
import { expected, never, partsOf, source } from './test-file.ts'

/** What the next attempt knows of an upload whose worker died. */
type Left = { readonly target: UploadTarget; readonly state: UploadState; readonly parts: readonly Part[] }

/**
 * The promises about uploads that another worker goes on with, or clears up after.
 * @param resumes whether uploads of this harness can be gone on with
 */
export function describeResume(harnessNow: () => DestinationHarness, resumes: boolean): void {
  const begin = async (lengthOf: (partBytes: number) => number): Promise<Left & { readonly upload: Upload }> => {
    const harness = harnessNow()
    const probe = await harness.destination.open(harness.target(64 * 2 ** 20), never())
    const { partBytes } = probe
    await probe.abort()
    const length = lengthOf(partBytes)
    const target = harness.target(length)
    const upload = await harness.destination.open(target, never())
    if (upload.state === null) throw new Error('an upload that can be gone on with has a state')
    return { target, upload, state: upload.state, parts: partsOf(upload, length) }
  }
  const put = (upload: Upload, parts: readonly (Part | undefined)[]): Promise<SentPart[]> =>
    Promise.all(parts.map((part) => upload.putPart(some(part), source(some(part)), never())))
  /** As another worker, which knows what was written down as JSON. */
  const resume = async ({ target, state }: Left, sent: readonly SentPart[]) => {
    const written = JSON.parse(JSON.stringify({ state, sent }))
    return await harnessNow().anotherWorker().resume?.(target, written.state, written.sent, never())
  }
  const twoParts = (partBytes: number) => partBytes + 10

  const goingOn = () => {
    it('is gone on with by another: what was confirmed is not sent again', async () => {
      const harness = harnessNow()
      const begun = await begin((partBytes) => 3 * partBytes + 7)
      const [first, second, third, last] = begun.parts
      const sent = await put(begun.upload, [last, second])

      const resumed = some(await resume(begun, sent))
      expect(resumed.kept).toEqual(sent)
      expect(resumed.upload.partBytes).toBe(begun.upload.partBytes)
      expect(resumed.upload.state).toEqual(begun.state)
      await put(resumed.upload, [first, third])
      const { location } = await resumed.upload.commit(never())

      expect(location).toBe(begun.target.url.href)
      const length = 3 * begun.upload.partBytes + 7
      expect((await harness.read(begun.target))?.equals(expected(length))).toBe(true)
      expect(await harness.kept()).toBe(1)
    })

    it('and the next one too: what two workers have sent is not sent by the third', async () => {
      const harness = harnessNow()
      const begun = await begin(twoParts)
      const [first, second] = begun.parts
      const bySecond = await put(begun.upload, [second])
      const next = some(await resume(begun, bySecond))
      const byFirst = await put(next.upload, [first])

      const third = some(await resume({ ...begun, state: some(next.upload.state) }, [...bySecond, ...byFirst]))
      await third.upload.commit(never())

      expect(third.kept).toHaveLength(2)
      const length = twoParts(begun.upload.partBytes)
      expect((await harness.read(begun.target))?.equals(expected(length))).toBe(true)
    })

    it('keeps no part that has other bytes by now, where the destination can tell', async () => {
      const harness = harnessNow()
      const begun = await begin(twoParts)
      const [first, second] = begun.parts
      const sent = await put(begun.upload, [first, second])
      await begun.upload.putPart(some(second), source({ ...some(second), offset: 1 }), never())

      const resumed = some(await resume(begun, sent))

      const kept = resumed.kept.map(({ number }) => number)
      expect(kept).toEqual(sent[1]?.tag === undefined ? [1, 2] : [1])
      await put(resumed.upload, [second])
      await resumed.upload.commit(never())
      const length = twoParts(begun.upload.partBytes)
      expect((await harness.read(begun.target))?.equals(expected(length))).toBe(true)
    })

    it('keeps no part that the destination does not have', async () => {
      const harness = harnessNow()
      const begun = await begin(twoParts)
      const [first, second] = begun.parts
      const sent = await put(begun.upload, [first])
      const missing = { ...some(sent[0]), number: 2, bytes: some(second).length }

      const resumed = some(await resume(begun, [...sent, missing]))

      expect(resumed.kept).toEqual(sent)
      await put(resumed.upload, [second])
      await resumed.upload.commit(never())
      expect((await harness.read(begun.target))?.length).toBe(twoParts(begun.upload.partBytes))
    })

    it('may have sent nothing', async () => {
      const harness = harnessNow()
      const begun = await begin(() => 100_000)

      const resumed = some(await resume(begun, []))
      expect(resumed.kept).toEqual([])
      await put(resumed.upload, begun.parts)
      await resumed.upload.commit(never())

      expect((await harness.read(begun.target))?.equals(expected(100_000))).toBe(true)
    })

    it('cannot be gone on with once it was discarded', async () => {
      const harness = harnessNow()
      const begun = await begin(() => 100_000)
      const sent = await put(begun.upload, begun.parts)
      await harness.anotherWorker().discard(begun.target, begun.state, never())

      expect(await resume(begun, sent)).toBeUndefined()
      expect(await harness.kept()).toBe(0)
    })

    it('is removed by the abort of whoever goes on with it', async () => {
      const harness = harnessNow()
      const begun = await begin(twoParts)
      const [first, second] = begun.parts
      const sent = await put(begun.upload, [second])
      await put(begun.upload, [first]) // nobody wrote that down

      const resumed = some(await resume(begun, sent))
      const removed = await resumed.upload.abort()
      await resumed.upload.abort()

      expect(removed).not.toEqual([])
      expect(await harness.kept()).toBe(0)
      expect(await harness.read(begun.target)).toBeUndefined()
    })
  }

  if (resumes) describe('an upload whose worker died', goingOn)
  else {
    it('an upload whose worker died cannot be gone on with', async () => {
      const begun = await begin(() => 100_000)
      const sent = await put(begun.upload, begun.parts)

      expect(await resume(begun, sent)).toBeUndefined()
    })
  }

  describe('an upload that nobody has written down', () => {
    it('is removed, however often its worker died', async () => {
      const harness = harnessNow()
      const target = harness.target(100_000)
      const uploads = [await harness.destination.open(target, never()), await harness.destination.open(target, never())]
      if (harness.atomic) await put(some(uploads[0]), partsOf(some(uploads[0]), 100_000))

      await harness.anotherWorker().discard(target, null, never())
      await harness.anotherWorker().discard(target, null, never())

      expect(await harness.kept()).toBe(0)
    })

    it('is not what another export has under way to the same URL', async () => {
      const harness = harnessNow()
      const target = harness.target(100_000)
      const upload = await harness.destination.open(target, never())
      await put(upload, partsOf(upload, 100_000))
      const marks = { ...target.marks, taskId: taskId(randomUUID()), exportId: randomUUID() }

      await harness.anotherWorker().discard({ ...target, marks }, null, never())

      await upload.commit(never())
      expect((await harness.read(target))?.equals(expected(100_000))).toBe(true)
    })
  })
}

function some<T>(value: T | undefined | null): T {
  if (value === undefined || value === null) throw new Error('something was expected')
  return value
}
