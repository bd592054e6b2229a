import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { type SwiftWithKeystone, startSwiftWithKeystone } from '../../peers/swift.ts'
import { TestAccount } from './swift-account.ts'
import { bytes, chunksOf, never, readAll, stored, swiftHarness } from './swift-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

/** Just above what one request takes. */
const LARGE = 16 * MiB + 5
/** For how long the test's Swift believes in a token it has seen, in milliseconds. */
const SWIFT_REMEMBERS_MS = 6_000

describeWithPeers(['swift-keystone'], 'swift with Keystone', () => {
  let cluster: SwiftWithKeystone
  let account: TestAccount
  let demoToken = ''
  beforeAll(async () => {
    cluster = await startSwiftWithKeystone()
    demoToken = await tokenOf('demo')
    account = new TestAccount(
      `http://${cluster.keystoneStorageHost}/v1/AUTH_${cluster.users.demo.projectId}`,
      demoToken
    )
    // Swift itself logs in at Keystone first, and refuses everybody until it has.
    await vi.waitFor(async () => expect(await account.head('')).toBeDefined(), { timeout: 30_000, interval: 200 })
  })

  const keystone = (method: string, path: string, token: string, body?: object, headers: Record<string, string> = {}) =>
    fetch(`${cluster.keystoneUrl}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...(token !== '' && { 'x-auth-token': token }), ...headers },
      ...(body && { body: JSON.stringify(body) })
    })

  async function tokenOf(who: 'demo' | 'other' | 'admin'): Promise<string> {
    const { name, password, project } = cluster.users[who]
    const domain = { id: 'default' }
    const identity = { methods: ['password'], password: { user: { name, password, domain } } }
    const answer = await keystone('POST', '/auth/tokens', '', {
      auth: { identity, scope: { project: { name: project, domain } } }
    })
    return answer.headers.get('x-subject-token') ?? ''
  }

  async function applicationCredential(): Promise<{ id: string; secret: string }> {
    const body = { application_credential: { name: `export-${Date.now()}`, roles: [{ name: 'member' }] } }
    const answer = await keystone('POST', `/users/${cluster.users.demo.id}/application_credentials`, demoToken, body)
    return ((await answer.json()) as { application_credential: { id: string; secret: string } }).application_credential
  }

  const password = (who: 'demo' | 'reader' | 'other', changes: object = {}): Credentials => ({
    kind: 'password',
    auth_url: cluster.keystoneUrl,
    username: cluster.users[who].name,
    password: cluster.users[who].password,
    user_domain_name: 'Default',
    project_name: cluster.users[who].project,
    project_domain_name: 'Default',
    ...changes
  })
  const start = (credentials: Credentials, changes: { named?: string } = {}) =>
    swiftHarness({ hashers, account, credentials: () => credentials, ...changes })
  const kinds: [string, () => Promise<Credentials>][] = [
    ['a password', async () => password('demo')],
    [
      'a password, with ids and everything said',
      async () =>
        password('demo', {
          auth_url: cluster.keystoneUrl.replace(/\/v3$/, '/'),
          user_domain_name: undefined,
          project_name: undefined,
          project_domain_name: undefined,
          user_domain_id: 'default',
          project_id: cluster.users.demo.projectId,
          region: 'RegionOne',
          interface: 'internal'
        })
    ],
    [
      'an application credential',
      async () => ({
        kind: 'application_credential',
        auth_url: cluster.keystoneUrl,
        ...(await applicationCredential())
      })
    ],
    ["the caller's token", async () => ({ kind: 'token', auth_url: cluster.keystoneUrl, token: await tokenOf('demo') })]
  ]
  it.each(kinds)('takes an export with %s', async (_, credentials) => {
    await using harness = await start(await credentials())
    const content = bytes(LARGE)
    const target = harness.target(LARGE)
    for (const check of harness.destination.checks(target)) await check.run(never)

    await stored(harness.destination, target, content)

    expect((await harness.read(target))?.equals(content)).toBe(true)
    expect((await readAll(harness.destination, target, LARGE)).equals(content)).toBe(true)
    await harness.destination.remove(target, never)
    expect(await harness.kept()).toBe(0)
  })

  it.each(['demo', 'id'])('knows the account by the %s of its project too', async (by) => {
    const { project, projectId } = cluster.users.demo
    await using harness = await start(password('demo'), { named: by === 'id' ? projectId : project })
    const target = harness.target(3)

    await stored(harness.destination, target, Buffer.from('abc'))

    expect(await harness.kept()).toBe(1)
  })

  it('tells until when the credentials last', async () => {
    await using harness = await start({ kind: 'token', auth_url: cluster.keystoneUrl, token: demoToken })
    const [auth] = harness.destination.checks(harness.target(1))

    const facts = await auth?.run(never)

    const left = Date.parse(String(facts?.expires_at)) - Date.now()
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThanOrEqual(3_600_000)
  })

  it.each<[string, () => Promise<Credentials>, object]>([
    [
      'a wrong password',
      async () => password('demo', { password: 'wrong-one' }),
      { code: 'DEST_AUTH_FAILED', permanent: true }
    ],
    [
      'a wrong project',
      async () => password('demo', { project_name: 'other' }),
      { code: 'DEST_AUTH_FAILED', permanent: true }
    ],
    [
      'a token that does not exist',
      async () => ({ kind: 'token', auth_url: cluster.keystoneUrl, token: 'gAAAAbad' }),
      { code: 'DEST_AUTH_FAILED', permanent: true }
    ],
    [
      'a region without an object store',
      async () => password('demo', { region: 'RegionTwo' }),
      { code: 'DEST_REJECTED', permanent: true }
    ],
    ['the project of another', async () => password('other'), { code: 'DEST_FORBIDDEN', permanent: true }],
    [
      'a Keystone that is none',
      async () => password('demo', { auth_url: `http://${cluster.storageHost}` }),
      { code: 'DEST_AUTH_FAILED', permanent: true }
    ]
  ])('refuses %s', async (_, credentials, expected) => {
    await using harness = await start(await credentials())

    const error = await harness.destination.open(harness.target(1), never).catch((thrown: unknown) => thrown)

    expect(error).toMatchObject(expected)
    expect(String(error)).not.toMatch(/wrong-one|gAAAAbad/)
  })

  it('finds out beforehand that a role may not write', async () => {
    await using harness = await start(password('reader'))
    const probe = harness.destination.checks(harness.target(1)).at(-1)

    await expect(probe?.run(never)).rejects.toMatchObject({ code: 'DEST_FORBIDDEN', permanent: true })
  })

  /** A new member of the project demo, whose tokens may be revoked. */
  async function newMember() {
    const admin = await tokenOf('admin')
    const name = `member-${Date.now()}`
    const user = { name, password: name, domain_id: 'default' }
    const made = (await (await keystone('POST', '/users', admin, { user })).json()) as { user: { id: string } }
    const found = await keystone('GET', '/roles?name=member', admin)
    const { roles } = (await found.json()) as { roles: { id: string }[] }
    await keystone(
      'PUT',
      `/projects/${cluster.users.demo.projectId}/users/${made.user.id}/roles/${roles[0]?.id}`,
      admin
    )
    return {
      credentials: { username: name, password: name },
      async revokeTokens() {
        for (const enabled of [false, true])
          await keystone('PATCH', `/users/${made.user.id}`, admin, { user: { enabled } })
      }
    }
  }

  it('takes the rest of an upload with a new token when the old one was revoked', async () => {
    const member = await newMember()
    await using harness = await start(password('demo', member.credentials))
    const content = bytes(LARGE)
    const target = harness.target(LARGE)
    const upload = await harness.destination.open(target, never)
    const put = (number: number) => {
      const offset = (number - 1) * upload.partBytes
      const part = content.subarray(offset, offset + upload.partBytes)
      return upload.putPart({ number, offset, length: part.length }, chunksOf(part), never)
    }
    await put(1)

    await member.revokeTokens()
    await wait(SWIFT_REMEMBERS_MS)

    await expect(put(2)).rejects.toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: false })
    await put(2)
    await upload.commit(never)
    expect((await harness.read(target))?.equals(content)).toBe(true)
  })

  it('cannot renew the token of the caller', async () => {
    const token = await tokenOf('demo')
    await using harness = await swiftHarness({
      hashers,
      account,
      credentials: (port) => ({
        kind: 'token',
        auth_url: cluster.keystoneUrl,
        token,
        endpoint: `http://127.0.0.1:${port}`
      })
    })
    const upload = await harness.destination.open(harness.target(LARGE), never)
    harness.breakNextPart({ kind: 'answer', status: 401 })

    await expect(
      upload.putPart({ number: 1, offset: 0, length: 10 }, chunksOf(bytes(10)), never)
    ).rejects.toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: true })
    expect(await upload.abort()).toEqual([])
  })
})
