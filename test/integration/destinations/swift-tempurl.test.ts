import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRadosgw } from '../../peers/radosgw.ts'
import { startSwift } from '../../peers/swift.ts'
import { TestAccount } from './swift-account.ts'
import { bytes, isPart, never, readAll, stored, swiftHarness } from './swift-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

const KEY = 'a-tempurl-secret'

const byKey = (port: number, changes: object = {}): Credentials => ({
  kind: 'temp_url',
  key: KEY,
  endpoint: `http://127.0.0.1:${port}`,
  ...changes
})

describeWithPeers(['swift'], 'temporary URLs of swift', () => {
  let account: TestAccount
  beforeAll(async () => {
    account = await TestAccount.v1((await startSwift()).authUrl, 'test:tester', 'testing')
  })
  const start = async (credentials: (port: number) => Credentials = byKey) => {
    const harness = await swiftHarness({ hashers, account, credentials })
    await account.call('POST', `/${harness.container}`, { headers: { 'x-container-meta-temp-url-key': KEY } })
    return harness
  }
  type Harness = Awaited<ReturnType<typeof start>>

  /** As somebody who has the key signs a PUT beforehand. */
  const signed = (harness: Harness, path: string, changes: object = {}): Credentials => {
    const expires = String(Math.floor(Date.now() / 1000) + 600)
    const signature = createHmac('sha256', KEY).update(`PUT\n${expires}\n${path}`).digest('hex')
    const endpoint = `http://127.0.0.1:${harness.faults.port}`
    return { kind: 'temp_url', temp_url_sig: signature, temp_url_expires: expires, endpoint, ...changes }
  }
  const pathOf = (harness: Harness, target: UploadTarget) =>
    decodeURIComponent(`/v1/${account.name}${harness.pathOf(target)}`)
  const with_ = (target: UploadTarget, credentials: Credentials): UploadTarget => ({
    ...target,
    credentials: new Secret(credentials)
  })

  describe.each([undefined, 'sha1', 'sha512'])('with the key, signed with %s', (digest) => {
    it('take an object, show it and remove it', async () => {
      await using harness = await start((port) => byKey(port, { digest }))
      const content = bytes(17 * MiB)
      const target = harness.target(content.length)
      for (const check of harness.destination.checks(target)) await check.run(never)

      await stored(harness.destination, target, content)

      expect((await harness.read(target))?.equals(content)).toBe(true)
      expect(harness.faults.seen.filter(isPart)).toHaveLength(2) // the probe and the object
      expect(await harness.destination.find(target, never)).toEqual({
        status: 'present',
        length: content.length,
        exportId: target.marks.exportId,
        contentId: target.marks.contentId
      })
      expect((await readAll(harness.destination, target, content.length)).equals(content)).toBe(true)
      await harness.destination.remove(target, never)
      expect(await harness.kept()).toBe(0)
    })
  })

  it.each([
    ['a wrong key', { key: 'wrong' }],
    ['an expired signature', { key: undefined, temp_url_sig: '00', temp_url_expires: '1700000000' }]
  ])('refuse %s', async (_, changes) => {
    await using harness = await start((port) => byKey(port, changes))
    const [auth] = harness.destination.checks(harness.target(1))

    await expect(auth?.run(never)).rejects.toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: true })
  })

  it.each([
    ['is larger than one request can be', { length: 6 * GiB, exact: true }],
    ['is of a length that is not known', { length: 17 * MiB, exact: false }]
  ])('refuse a file that %s, before any byte', async (_, changes) => {
    await using harness = await start()

    await expect(harness.destination.open(harness.target(1, changes), never)).rejects.toMatchObject({
      code: 'DEST_LIMIT_EXCEEDED',
      permanent: true,
      message: expect.stringContaining('temporary URL')
    })
    expect(harness.faults.seen.filter(isPart)).toEqual([])
  })

  it('that were signed beforehand take the one object, and can be asked whether it is there', async () => {
    await using harness = await start()
    const any = harness.target(3)
    const target = with_(any, signed(harness, pathOf(harness, any)))
    for (const check of harness.destination.checks(target)) await check.run(never)

    await stored(harness.destination, target, Buffer.from('abc'))

    expect(await harness.read(target)).toEqual(Buffer.from('abc'))
    expect(await harness.destination.find(target, never)).toMatchObject({ status: 'present', length: 3 })
    await expect(harness.destination.remove(target, never)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    const other = with_(harness.target(3), target.credentials?.unwrap() ?? { kind: '' })
    await expect(stored(harness.destination, other, Buffer.from('abc'))).rejects.toMatchObject({
      code: 'DEST_AUTH_FAILED'
    })
  })

  it('that were signed for a prefix take any object below it', async () => {
    await using harness = await start()
    const credentials = signed(harness, `prefix:/v1/${account.name}/${harness.container}/a folder/`, {
      temp_url_prefix: 'a folder/'
    })
    for (const target of [harness.target(3), harness.target(3)].map((one) => with_(one, credentials))) {
      await stored(harness.destination, target, Buffer.from('abc'))
      expect(await harness.read(target)).toEqual(Buffer.from('abc'))
    }
  })
})

describeWithPeers(['radosgw'], 'temporary URLs of Ceph', () => {
  it('are signed with SHA-1, as it knows no other', async () => {
    const { swiftAuthUrl, user, key } = await startRadosgw()
    const account = await TestAccount.v1(swiftAuthUrl, user, key)
    await account.call('POST', '', { headers: { 'x-account-meta-temp-url-key': KEY } })
    const { pathname } = new URL(account.storageUrl)
    await using harness = await swiftHarness({
      hashers,
      account,
      credentials: (port) => byKey(port, { endpoint: `http://127.0.0.1:${port}${pathname}` })
    })
    const content = bytes(1_000_000)
    const target = harness.target(content.length)

    await stored(harness.destination, target, content)

    expect((await harness.read(target))?.equals(content)).toBe(true)
  })
})
