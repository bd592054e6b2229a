import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import type { DestinationHarness } from '../../contracts/destination.contract.ts'
import { describeResume } from '../../contracts/resume.contract.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { type Radosgw, startRadosgw } from '../../peers/radosgw.ts'
import { TestAccount } from './swift-account.ts'
import {
  bytes,
  chunksOf,
  contractHarness,
  isManifest,
  never,
  readAll,
  sent,
  stored,
  swiftHarness
} from './swift-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

/** Just above what one request takes: two segments. */
const LARGE = 16 * MiB + 5
const large = bytes(LARGE)

describeWithPeers(['radosgw'], 'swift at Ceph', () => {
  let ceph: Radosgw
  let account: TestAccount
  beforeAll(async () => {
    ceph = await startRadosgw()
    account = await TestAccount.v1(ceph.swiftAuthUrl, ceph.user, ceph.key)
  })
  const settings = () => ({
    hashers,
    account,
    credentials: (port: number) => ({
      kind: 'tempauth',
      auth_url: `http://127.0.0.1:${port}/auth/v1.0`,
      user: ceph.user,
      key: ceph.key,
      endpoint: `http://127.0.0.1:${port}`
    })
  })
  const start = () => swiftHarness(settings())

  describe('in segments', () => {
    let harness: DestinationHarness
    beforeEach(async () => {
      harness = await contractHarness(settings(), true)
    })
    afterEach(() => harness[Symbol.asyncDispose]())

    describeResume(() => harness, true)
  })

  it.each([
    ['one request', 1000],
    ['segments', LARGE]
  ])('takes, shows and removes an object in %s', async (_, length) => {
    await using harness = await start()
    const content = large.subarray(0, length)
    const target = harness.target(length, { object: { replace: false, metadata: { purpose: 'x' } } })
    for (const check of harness.destination.checks(target)) await check.run(never)
    expect(await harness.destination.find(target, never)).toEqual({ status: 'absent' })

    await stored(harness.destination, target, content)

    expect((await harness.read(target))?.equals(content)).toBe(true)
    expect((await readAll(harness.destination, target, length)).equals(content)).toBe(true)
    expect(await harness.destination.find(target, never)).toEqual({
      status: 'present',
      length,
      exportId: target.marks.exportId,
      contentId: target.marks.contentId
    })
    await harness.destination.remove(target, never)
    expect(await harness.kept()).toBe(0)
  })

  it('gives the object and its segments one point in time to go', async () => {
    await using harness = await start()
    const target = harness.target(LARGE, { object: { replace: false, delete_after_seconds: 3600 } })

    await stored(harness.destination, target, large)

    const at = (await account.head(harness.pathOf(target)))?.['x-delete-at']
    expect(Number(at)).toBeGreaterThan(Date.now() / 1000)
    for (const name of await harness.segments()) {
      expect((await account.head(`/${harness.container}_segments/${encodeURI(name)}`))?.['x-delete-at']).toBe(at)
    }
  })

  it.each([
    ['one request', 10],
    ['segments', LARGE]
  ])('does not replace what has appeared meanwhile, in %s, though it ignores If-None-Match', async (_, length) => {
    await using harness = await start()
    const target = harness.target(length)
    const upload = await harness.destination.open(target, never)
    await account.put(harness.pathOf(target), 'of another')

    const sending = (async () => {
      await upload.putPart({ number: 1, offset: 0, length: 10 }, chunksOf(bytes(10)), never)
      await upload.commit(never)
    })()

    await expect(sending).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS' })
    await upload.abort()
    expect(await harness.read(target)).toEqual(Buffer.from('of another'))
    expect(await harness.segments()).toEqual([])
  })

  it('keeps no old segment when a large object is replaced', async () => {
    await using harness = await start()
    const old = harness.target(LARGE)
    await stored(harness.destination, old, large)
    const next = harness.target(LARGE, { url: old.url, object: { replace: true } })

    await stored(harness.destination, next, bytes(LARGE, 3))

    expect((await harness.read(next))?.equals(bytes(LARGE, 3))).toBe(true)
    expect(await harness.segments()).toHaveLength(2)
  })

  it('keeps no segment of what failed or was lost', async () => {
    await using harness = await start()
    const refused = await sent(harness.destination, harness.target(LARGE), large)
    harness.faults.inject({ kind: 'answer', status: 403 }, isManifest)
    const lost = harness.target(LARGE)
    await sent(harness.destination, lost, large)

    await expect(refused.commit(never)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    expect(await refused.abort()).toEqual(['2 segments'])
    expect(await harness.destination.discard(lost, {}, never)).toEqual(['2 segments'])

    expect(await harness.kept()).toBe(0)
  })

  it('has taken a manifest whose answer was lost', async () => {
    await using harness = await start()
    const target = harness.target(LARGE)
    const upload = await sent(harness.destination, target, large)
    harness.faults.inject({ kind: 'lose answer' }, isManifest)

    await expect(upload.commit(never)).resolves.toMatchObject({ location: target.url.href })
    expect((await harness.read(target))?.equals(large)).toBe(true)
  })
})
