import { randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { TestAccount } from '../integration/destinations/swift-account.ts'
import { describeWithPeers } from '../peers/peer.ts'
import { type SwiftWithKeystone, startSwiftWithKeystone } from '../peers/swift.ts'
import { freshDatabase } from '../support/postgres.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { type Json, startProcess } from '../support/service.ts'

describeWithPeers(['swift-keystone'], "Rackspace's request, with a real Keystone and Swift", () => {
  let cluster: SwiftWithKeystone
  let account: TestAccount
  let url: string
  let image: string
  const container = `exports ${randomUUID().slice(0, 8)}`
  const closing: (() => Promise<unknown>)[] = []

  async function tokenOf(who: 'demo'): Promise<string> {
    const { name, password, project } = cluster.users[who]
    const domain = { id: 'default' }
    const identity = { methods: ['password'], password: { user: { name, password, domain } } }
    const answer = await fetch(`${cluster.keystoneUrl}/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ auth: { identity, scope: { project: { name: project, domain } } } })
    })
    return answer.headers.get('x-subject-token') ?? ''
  }

  /** As an authenticating proxy hands it on. */
  const call = async (method: string, path: string, body?: string | Uint8Array<ArrayBuffer>) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        'x-auth-token': account.token,
        'x-identity-status': 'Confirmed',
        'x-user-id': cluster.users.demo.id,
        'x-project-id': cluster.users.demo.projectId,
        'x-roles': 'member,reader',
        'content-type': typeof body === 'string' ? 'application/json' : 'application/octet-stream'
      },
      ...(body !== undefined && { body })
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Json }
  }
  const exported = async (receiving: string): Promise<Json> => {
    const input = { image_uuid: image, receiving_swift_container: receiving }
    const made = await call('POST', '/v2/tasks', JSON.stringify({ type: 'export', input }))
    expect(made).toMatchObject({ status: 201, body: { type: 'export', status: 'pending' } })
    return vi.waitUntil(
      async () => {
        const { body } = await call('GET', `/v2/tasks/${made.body.id}`)
        return body.expires_at === undefined ? undefined : body
      },
      { timeout: 50_000, interval: 100 }
    )
  }

  beforeAll(async () => {
    cluster = await startSwiftWithKeystone()
    const storage = `http://${cluster.keystoneStorageHost}/v1/AUTH_${cluster.users.demo.projectId}`
    account = new TestAccount(storage, await tokenOf('demo'))
    await vi.waitFor(() => account.put(`/${encodeURIComponent(container)}`), { timeout: 30_000, interval: 200 })

    const folder = await mkdtemp(join(tmpdir(), 'e2e-rackspace-'))
    const database = await freshDatabase()
    const service = startProcess('all', {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      TASK_ATTEMPTS: '1',
      IDENTITY: 'trusted-headers',
      TRUSTED_PROXIES: '127.0.0.0/8',
      KEK: Buffer.alloc(32, 'k').toString('base64'),
      DEFAULT_SWIFT_URL: `swift://${cluster.keystoneStorageHost}/AUTH_{project_id}`,
      DEFAULT_SWIFT_AUTH_URL: cluster.keystoneUrl
    })
    closing.push(
      () => removeDataDir(folder),
      database.drop,
      () => service.stop()
    )
    url = String((await service.line('listening')).url)
    const made = await call('POST', '/v2/images', '{"name": "web", "disk_format": "raw", "container_format": "bare"}')
    image = String(made.body.id)
    await call('PUT', `/v2/images/${image}/file`, new Uint8Array(3_000_000).fill(7))
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  it("writes <image_uuid>.vhd into the container of the project's own account", async () => {
    const task = await exported(container)

    const path = `/${encodeURIComponent(container)}/${image}.vhd`
    const written = await account.get(path)
    expect(task).toMatchObject({ status: 'success', export_format: 'vhd' })
    expect(String(task.export_location)).toMatch(new RegExp(`${path.replaceAll('.', '\\.')}$`))
    expect(written?.subarray(0, 8).toString()).toBe('conectix')
  })

  it('never writes over an object that is there', async () => {
    const task = await exported(container)

    expect(task).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS' } })
  })

  it('fails where there is no such container', async () => {
    const task = await exported('nowhere')

    expect(task).toMatchObject({ status: 'failure', failure: { code: 'DEST_CONTAINER_NOT_FOUND' } })
  })
})
