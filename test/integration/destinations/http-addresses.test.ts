import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressVectors } from '../../support/address-vectors.ts'
import { freshDatabase } from '../../support/postgres.ts'
import { removeDataDir } from '../../support/remove-data-dir.ts'
import { Client, type Json, startProcess } from '../../support/service.ts'

/** The API alone: what it takes is never sent anywhere. */
describe('the service, asked to export to', () => {
  const closing: (() => Promise<unknown>)[] = []
  let client: Client
  let image: string

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'addresses-'))
    const database = await freshDatabase()
    closing.push(() => removeDataDir(folder), database.drop)
    const env = { DATABASE_URL: database.url, DATA_DIR: folder, ALLOWED_NETWORKS: '' }
    const migrating = startProcess('migrate', env)
    await migrating.line('schema is up to date')
    const service = startProcess('http', env)
    closing.push(() => service.stop())
    client = new Client(String((await service.line('listening')).url))
    image = await client.upload(Buffer.alloc(1 << 20), 'raw')
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const ask = (exportTo: string, more: Json = {}) =>
    client.call('POST', '/v2/tasks', {
      task_type: 'export',
      image_uuid: image,
      export_to: exportTo,
      export_format: 'raw',
      ...more
    })
  const isRefused = (pointer: string) => ({
    status: 400,
    body: {
      error: {
        failure_code: expect.stringMatching(/^DEST_(URL_INVALID|ADDRESS_FORBIDDEN)$/),
        violations: [expect.objectContaining({ pointer })]
      }
    }
  })

  const vectors = addressVectors()

  it.each(vectors.filter(({ verdict }) => verdict === 'deny'))('$host refuses at once', async ({ host }) => {
    const s3 = {
      kind: 's3_static',
      access_key_id: 'a',
      secret_access_key: 'b',
      endpoint: `https://${host}`,
      addressing_style: 'path'
    }
    const swift = { kind: 'tempauth', auth_url: `https://${host}/auth/v1.0`, user: 'a:b', key: 'c' }

    expect(await ask(`https://${host}/exports`)).toMatchObject(isRefused('/export_to'))
    expect(await ask(`http://${host}/exports`)).toMatchObject(isRefused('/export_to'))
    expect(await ask('s3://bucket/exports', { export_to_credentials: s3 })).toMatchObject(
      isRefused('/export_to_credentials/endpoint')
    )
    expect(await ask('swift://store.example.org/a/c', { export_to_credentials: swift })).toMatchObject(
      isRefused('/export_to_credentials/auth_url')
    )
  })

  it.each(vectors.filter(({ verdict }) => verdict !== 'deny'))('$host takes the task', async ({ host }) => {
    expect(await ask(`https://${host}/exports`)).toMatchObject({ status: 201 })
  })

  it('a pre-signed URL never shows its signature', async () => {
    const { status, body } = await ask('https://storage.example.org/image?X-Sig=CANARY&X-Expires=9')
    const list = await client.call('GET', '/v2/tasks?limit=1000')

    expect(status).toBe(201)
    expect(JSON.stringify(body)).toContain('https://storage.example.org/image"')
    expect(JSON.stringify([body, list.body])).not.toMatch(/CANARY|X-Expires/)
  })
})
