import { createHash, randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { MiB } from '../../src/domain/bytes.ts'
import { describeWithPeers } from '../peers/peer.ts'
import { type Swift, startSwift } from '../peers/swift.ts'
import { freshDatabase } from '../support/postgres.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'

const DISK = Buffer.concat([Buffer.alloc(24 * MiB, 'data of a guest; '), Buffer.alloc(16 * MiB)])

describeWithPeers(['swift'], 'the options of an export to a real Swift', () => {
  let swift: Swift
  let service: ServiceProcess
  let client: Client
  let image: string
  const container = `options-${randomUUID()}`
  const closing: (() => Promise<unknown>)[] = []

  /** Of the user's own, beside the service. */
  const request = async (method: string, path: string) => {
    const headers = { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' }
    const login = await fetch(swift.authUrl, { headers })
    const token = { 'x-auth-token': login.headers.get('x-auth-token') ?? '' }
    return fetch(`${login.headers.get('x-storage-url')}${path}`, { method, headers: token })
  }
  const stored = async (name: string) =>
    Buffer.from(await (await request('GET', `/${container}/vm/${name}`)).arrayBuffer())

  beforeAll(async () => {
    swift = await startSwift()
    const folder = await mkdtemp(join(tmpdir(), 'e2e-options-swift-'))
    const database = await freshDatabase()
    service = startProcess('all', { DATA_DIR: join(folder, 'data'), DATABASE_URL: database.url, TASK_ATTEMPTS: '2' })
    closing.push(
      () => removeDataDir(folder),
      database.drop,
      () => service.stop()
    )
    client = new Client(String((await service.line('listening')).url))
    image = await client.upload(DISK, 'raw')
    await request('PUT', `/${container}`)
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const body = (more: Json) => ({
    export_format: 'raw',
    export_to_credentials: { kind: 'tempauth', auth_url: swift.authUrl, user: 'test:tester', key: 'testing' },
    ...more
  })
  const exported = async (more: Json) => {
    const to = `swift://${swift.storageHost}/AUTH_test/${container}/vm`
    return client.ended(await client.export(image, to, body(more)))
  }

  it('tells beforehand that it will work, and leaves nothing', async () => {
    const to = `swift://${swift.storageHost}/AUTH_test/${container}/dry`

    const answer = await client.call('POST', '/v2/tasks/preflight', {
      task_type: 'export',
      image_uuid: image,
      export_to: to,
      ...body({})
    })

    expect(answer.body).toMatchObject({ ok: true, estimate: { bytes_min: DISK.length, bytes_max: DISK.length } })
    expect(await (await request('GET', `/${container}?prefix=dry`)).text()).toBe('')
  })

  it.each(['ranges', 'full'])('writes in segments and proves it by %s', async (verify) => {
    const task = await exported({ verify, object: { key_template: `${verify}.raw` }, sidecars: ['sha256', 'manifest'] })

    const bytes = await stored(`${verify}.raw`)
    const sha256 = createHash('sha256').update(DISK).digest('hex')
    expect(task).toMatchObject({
      task_status: 'success',
      warnings: [],
      result: { verify: { level: verify, ok: true } }
    })
    expect(bytes.equals(DISK)).toBe(true)
    expect((await stored(`${verify}.raw.sha256`)).toString()).toBe(`${sha256}  ${verify}.raw\n`)
    expect(JSON.parse((await stored(`${verify}.raw.manifest.json`)).toString())).toMatchObject({ artifact: { sha256 } })
  })

  it('decides about an object of that name', async () => {
    const named = (if_exists: string) => exported({ object: { key_template: 'disk.raw', if_exists } })
    expect(await named('fail')).toMatchObject({ task_status: 'success' })

    expect(await named('fail')).toMatchObject({ failure: { code: 'DEST_OBJECT_EXISTS', phase: 'preflight' } })
    expect(await named('suffix')).toMatchObject({ export_location: expect.stringMatching(/\/vm\/disk-1\.raw$/) })
    expect(await named('reuse')).toMatchObject({ task_status: 'success', result: { reused: true } })
    expect(await named('replace')).toMatchObject({ task_status: 'success' })
    expect((await stored('disk.raw')).equals(DISK)).toBe(true)
  })
})
