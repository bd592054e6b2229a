import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SentPart, Upload, UploadTarget } from '../../../src/destinations/destination.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startSwift } from '../../peers/swift.ts'
import { TestAccount } from './swift-account.ts'
import { bytes, chunksOf, never, sent, stored, swiftHarness } from './swift-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

/** Just above what one request takes: two segments. */
const LARGE = 16 * MiB + 5
const large = bytes(LARGE)
const PARTS = [
  { number: 1, offset: 0, length: 16 * MiB },
  { number: 2, offset: 16 * MiB, length: 5 }
] as const
const isList = ({ method, url }: { method: string; url: string }) => method === 'GET' && url.includes('prefix=')
const isLook = ({ method, url }: { method: string; url: string }) => method === 'HEAD' && /_segments\/./.test(url)

describeWithPeers(['swift'], 'swift', () => {
  let account: TestAccount
  beforeAll(async () => {
    account = await TestAccount.v1((await startSwift()).authUrl, 'test:tester', 'testing')
  })
  const start = () =>
    swiftHarness({
      hashers,
      account,
      credentials: (port) => ({
        kind: 'tempauth',
        auth_url: `http://127.0.0.1:${port}/auth/v1.0`,
        user: 'test:tester',
        key: 'testing'
      })
    })
  type Harness = Awaited<ReturnType<typeof start>>

  const put = (upload: Upload, { number, offset, length }: (typeof PARTS)[number]): Promise<SentPart> =>
    upload.putPart({ number, offset, length }, chunksOf(large.subarray(offset, offset + length)), never)

  /** An upload whose worker died with both segments sent. */
  async function begun(harness: Harness, changes: Partial<UploadTarget> = {}) {
    const target = harness.target(LARGE, changes)
    const upload = await harness.destination.open(target, never)
    const confirmed = [await put(upload, PARTS[0]), await put(upload, PARTS[1])]
    return { target, upload, confirmed, state: upload.state ?? {} }
  }
  const segmentsOf = async (harness: Harness): Promise<string[]> =>
    (await harness.segments()).map((name) => `/${harness.container}_segments/${encodeURI(name)}`)

  describe('going on with segments', () => {
    it('looks for each that a list, which may be behind, does not have', async () => {
      await using harness = await start()
      const { target, confirmed, state } = await begun(harness)
      const [, second = ''] = await segmentsOf(harness)
      await account.call('DELETE', second)
      harness.faults.inject({ kind: 'answer', status: 200, body: '[]' }, isList)

      const resumed = await harness.anotherWorker().resume?.(target, state, confirmed, never)

      expect(resumed?.kept).toEqual([confirmed[0]])
      expect(harness.faults.seen.filter(isLook)).toHaveLength(2)
    })

    it('asks nothing more of those that a list has, which is read page by page', async () => {
      await using harness = await start()
      const { target, confirmed, state } = await begun(harness)
      const { body } = await account.call('GET', `/${harness.container}_segments?format=json&limit=1`)
      harness.faults.inject({ kind: 'answer', status: 200, body }, isList)

      const resumed = await harness.destination.resume?.(target, state, confirmed, never)

      expect(resumed?.kept).toEqual(confirmed)
      expect(harness.faults.seen.filter(isLook)).toEqual([])
    })

    it('does not believe a list of segments that may have expired', async () => {
      await using harness = await start()
      const { target, confirmed, state } = await begun(harness, {
        object: { replace: false, delete_after_seconds: 3600 }
      })
      const list = await account.call('GET', `/${harness.container}_segments?format=json`)
      const [first = ''] = await segmentsOf(harness)
      await account.call('DELETE', first)
      harness.faults.inject({ kind: 'answer', status: 200, body: list.body }, isList)

      const resumed = await harness.destination.resume?.(target, state, confirmed, never)

      expect(resumed?.kept).toEqual([confirmed[1]])
    })

    it('gives those of both workers one point in time to go, counted from the commit', async () => {
      await using harness = await start()
      const { target, confirmed, state } = await begun(harness, {
        object: { replace: false, delete_after_seconds: 3600 }
      })
      const paths = await segmentsOf(harness)
      const soon = String(Math.ceil(Date.now() / 1000) + 600)
      // The commit of the first worker had come so far.
      for (const path of paths) await account.call('POST', path, { headers: { 'x-delete-at': soon } })

      const resumed = await harness.destination.resume?.(target, state, confirmed.slice(0, 1), never)
      if (resumed === undefined) throw new Error('it can be gone on with')
      await put(resumed.upload, PARTS[1])
      await resumed.upload.commit(never)

      const at = (await account.head(harness.pathOf(target)))?.['x-delete-at']
      expect(Number(at)).toBeGreaterThan(Date.now() / 1000 + 3500)
      for (const path of paths) expect((await account.head(path))?.['x-delete-at']).toBe(at)
      expect((await harness.read(target))?.equals(large)).toBe(true)
    })

    it('keeps them when the object that is replaced is an earlier one of the same export', async () => {
      await using harness = await start()
      const { target, upload, confirmed, state } = await begun(harness, { object: { replace: true } })
      await upload.commit(never)

      const resumed = await harness.destination.resume?.(target, state, confirmed, never)
      await resumed?.upload.commit(never)

      expect((await harness.read(target))?.equals(large)).toBe(true)
      expect(await harness.segments()).toHaveLength(2)
    })
  })

  describe('a commit that has replaced a large object and cannot remove the old segments', () => {
    it.each([
      ['segments', LARGE, 4],
      ['one request', 10, 2]
    ])('in %s is a success that says what is left', async (_, length, left) => {
      await using harness = await start()
      const old = harness.target(LARGE)
      await stored(harness.destination, old, bytes(LARGE, 1))
      const target = harness.target(length, { url: old.url, object: { replace: true } })
      const content = large.subarray(0, length)
      const upload = await sent(harness.destination, target, content)
      const isRemoval = ({ method, url }: { method: string; url: string }) =>
        method === 'DELETE' || url.includes('bulk-delete')
      harness.faults.inject({ kind: 'answer', status: 503 }, isRemoval, 9)

      const committed = await upload.commit(never)

      expect(committed).toMatchObject({
        location: target.url.href,
        left: { what: 'segments of the object that was replaced', error: { code: 'DEST_THROTTLED' } }
      })
      expect((await harness.read(target))?.equals(content)).toBe(true)
      expect(await harness.segments()).toHaveLength(left)
    })
  })
})
