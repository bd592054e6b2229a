import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MiB } from '../../src/domain/bytes.ts'
import { faultServer } from '../support/fault-server.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { freshRedisDatabase } from '../support/redis.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { s3Server } from '../support/s3-server.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'

const KEY_ID = 'AKIDEXAMPLE'
type Check = { readonly id: string; readonly ok: boolean; readonly [field: string]: unknown }

/** Only the API runs here: nothing of a dry run needs a worker. */
describe('a dry run, without a worker', () => {
  let folder: string
  let api: ServiceProcess
  let client: Client
  let image: string
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-preflight-'))
    const database = await freshDatabase()
    const settings = {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      REDIS_URL: freshRedisDatabase(),
      DESTINATION_SILENCE_SECONDS: '2'
    }
    closing.push(() => removeDataDir(folder), database.drop)
    await using migration = startProcess('migrate', settings)
    await new Promise((resolve) => migration.child.once('exit', resolve))
    api = startProcess('http', settings)
    closing.push(() => api.stop())
    client = new Client(String((await api.line('listening')).url))
    image = await client.upload(Buffer.alloc(8 * MiB, 'data of a guest; '), 'raw')
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const credentials = (port: number, keyId = KEY_ID) => ({
    kind: 's3_static',
    access_key_id: keyId,
    secret_access_key: 'CANARY-secret-key',
    endpoint: `http://127.0.0.1:${port}`,
    addressing_style: 'path'
  })
  const s3 = () => s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } })
  const ask = async (exportTo: string, more: Json = {}) => {
    const body = { task_type: 'export', image_uuid: image, export_to: exportTo, export_format: 'qcow2', ...more }
    const { status, body: answer } = await client.call('POST', '/v2/tasks/preflight', body)
    return { status, ...(answer as { ok: boolean; checks: Check[]; estimate: Json; error?: Json }) }
  }
  const checkOf = ({ checks }: { checks: Check[] }, id: string) => checks.find((check) => check.id === id)

  it('answers every check by its name, makes nothing, and estimates the cost', async () => {
    await using store = await s3()

    const answer = await ask('s3://backup/vm', { export_to_credentials: credentials(store.port) })

    expect(answer).toMatchObject({ status: 200, ok: true, duration_ms: expect.any(Number) })
    expect(answer.checks.filter(({ ok }) => !ok)).toEqual([])
    expect(answer.checks.map(({ id }) => id)).toEqual([
      'image.active',
      'image.exportable',
      'scrub',
      'format.supported',
      'format.limit',
      'dest.address_allowed',
      'credentials.lifetime',
      'dest.auth',
      'dest.container',
      'dest.limits',
      'dest.write_probe',
      'dest.collision',
      'quota'
    ])
    expect(checkOf(answer, 'dest.limits')?.detail).toMatchObject({ parts: 1 })
    expect(answer.estimate).toMatchObject({ basis: expect.stringContaining('10 MiB/s') })
    expect(answer.estimate.bytes_min).toBe(answer.estimate.bytes_max)
    expect([store.objects.size, store.uploads.size]).toEqual([0, 0])
    expect((await client.call('GET', '/v2/tasks')).body.tasks).toEqual([])
    expect(JSON.stringify([answer, api.log])).not.toContain('CANARY')
  })

  it('is the same as dry_run in the body of a task, in every form', async () => {
    await using place = await putServer()
    const what = { export_to: `http://127.0.0.1:${place.port}/p`, export_format: 'raw', dry_run: true }

    const answers = [
      await client.call('POST', '/v2/tasks', { task_type: 'export', image_uuid: image, ...what }),
      await client.call('POST', '/v2/tasks', { type: 'export', input: { image_id: image, ...what } }),
      await client.call('POST', `/v2/images/${image}/export`, what)
    ]

    for (const { status, body } of answers) {
      expect({ status, ok: body.ok }).toEqual({ status: 200, ok: true })
      expect(body.estimate).toMatchObject({ bytes_min: 8 * MiB, bytes_max: 8 * MiB })
    }
    expect(place.objects.size).toBe(0)
    const deleted = await client.call('DELETE', `/v2/images/${await client.upload(Buffer.alloc(512), 'raw')}`)
    expect(deleted.status).toBe(204)
  })

  it('names wrong credentials, and whose turn it is', async () => {
    await using store = await s3()

    const answer = await ask('s3://backup/vm', { export_to_credentials: credentials(store.port, 'AKIDOTHER') })

    expect(answer.ok).toBe(false)
    expect(checkOf(answer, 'dest.auth')).toMatchObject({
      ok: false,
      code: 'DEST_AUTH_FAILED',
      actor: 'user',
      hint: 'send valid ones.'
    })
    expect(checkOf(answer, 'dest.write_probe')).toEqual({ id: 'dest.write_probe', ok: false, skipped: true })
  })

  it('names a container that is not there', async () => {
    await using store = await s3()

    const answer = await ask('s3://other/vm', { export_to_credentials: credentials(store.port) })

    expect(checkOf(answer, 'dest.container')).toMatchObject({ ok: false, code: 'DEST_CONTAINER_NOT_FOUND' })
  })

  it('names an object that stands in the way', async () => {
    await using place = await putServer()
    place.objects.set('/p/disk.raw', Buffer.from('older'))

    const answer = await ask(`http://127.0.0.1:${place.port}/p`, { object: { key_template: 'disk.raw' } })

    expect(checkOf(answer, 'dest.collision')).toMatchObject({ ok: false, code: 'DEST_OBJECT_EXISTS' })
    expect(place.objects.get('/p/disk.raw')?.toString()).toBe('older')
  })

  it('names a destination that does not answer, in its time', async () => {
    await using place = await putServer()
    await using silent = await faultServer(place.port)
    silent.inject({ kind: 'stall' }, () => true, 99)

    const answer = await ask(`http://127.0.0.1:${silent.port}/p`)

    expect(answer.ok).toBe(false)
    expect(answer.checks.find(({ code }) => code !== undefined)).toMatchObject({ code: 'DEST_UNREACHABLE' })
  })

  it('names an address that is not allowed, and asks nobody there', async () => {
    const answer = await ask('http://169.254.169.254/latest')

    expect(answer).toMatchObject({ status: 200, ok: false })
    expect(checkOf(answer, 'dest.address_allowed')).toMatchObject({ ok: false, code: 'DEST_ADDRESS_FORBIDDEN' })
    expect(checkOf(answer, 'dest.collision')).toMatchObject({ ok: false, skipped: true })
  })

  it('names an image without data and an image that is no disk', async () => {
    const empty = await client.call('POST', '/v2/images', { disk_format: 'raw', container_format: 'bare' })

    const answer = await ask('http://127.0.0.1:1/p', { image_uuid: empty.body.id })

    expect(checkOf(answer, 'image.active')).toMatchObject({ ok: false, code: 'IMAGE_NOT_ACTIVE' })
    expect(answer.estimate).toBeNull()
  })

  it("knows no other project's image", async () => {
    const other = new Client(String((await api.line('listening')).url), 'mallory:other:member')

    const answer = await other.call('POST', '/v2/tasks/preflight', {
      task_type: 'export',
      image_uuid: image,
      export_to: 'http://127.0.0.1:1/p',
      export_format: 'raw'
    })

    expect(answer).toMatchObject({ status: 404, body: { error: { failure_code: 'IMAGE_NOT_FOUND' } } })
  })

  it('refuses what is no request with 400', async () => {
    expect(await ask('http://127.0.0.1/a/../b')).toMatchObject({
      status: 400,
      error: { failure_code: 'DEST_URL_INVALID' }
    })
    expect(await ask('http://127.0.0.1/a', { export_format: 'floppy' })).toMatchObject({ status: 400 })
  })
})
