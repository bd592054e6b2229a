import { createHash } from 'node:crypto'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeDiskImage } from '../support/disk-image.ts'
import { faultServer } from '../support/fault-server.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { qemuImg } from '../support/qemu-img.ts'
import { freshRedisDatabase } from '../support/redis.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { s3Server } from '../support/s3-server.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'

/** Not the probe that is written before it. */
const isThePut = ({ method, url }: { method?: string | undefined; url?: string | undefined }) =>
  method === 'PUT' && !url?.includes('.probe-')

const KEY_ID = 'AKIDEXAMPLE'
const SECRET = 'CANARY-secret-key'

describe.each(['PostgreSQL', 'Redis'])('the service with its queue on %s', (queueOn) => {
  let folder: string
  let service: ServiceProcess
  let client: Client
  let images: Record<'raw' | 'qcow2', { path: string; id: string }>
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-'))
    const database = await freshDatabase()
    const redis = queueOn === 'Redis' ? { REDIS_URL: freshRedisDatabase() } : undefined
    service = startProcess('all', {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      TASK_ATTEMPTS: '2',
      DESTINATION_SILENCE_SECONDS: '3',
      ...redis
    })
    closing.push(
      () => removeDataDir(folder),
      database.drop,
      () => service.stop()
    )
    client = new Client(String((await service.line('listening')).url))

    const raw = join(folder, 'disk.raw')
    const qcow2 = join(folder, 'disk.qcow2')
    await makeDiskImage({ path: raw, sizeMiB: 96, contentMiB: 24 })
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, qcow2)
    images = {
      raw: { path: raw, id: await client.upload(await readFile(raw), 'raw') },
      qcow2: { path: qcow2, id: await client.upload(await readFile(qcow2), 'qcow2') }
    }
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const checkExport = async (task: Json, bytes: Buffer, source: { path: string; format: string }, format: string) => {
    const path = join(folder, 'exported')
    await writeFile(path, bytes)
    if (format === 'qcow2') await qemuImg('check', '-q', '-f', 'qcow2', path)
    await qemuImg('compare', '-q', '-f', source.format, '-F', format, source.path, path)
    expect(task.result).toMatchObject({
      bytes: bytes.length,
      checksums: { sha256: createHash('sha256').update(bytes).digest('hex') },
      export_location: task.export_location
    })
  }

  describe.each(['raw', 'qcow2'] as const)('takes a %s image', (source) => {
    it.each(['raw', 'qcow2'])('to an HTTP URL as %s', async (format) => {
      await using place = await putServer()
      const exportTo = `http://127.0.0.1:${place.port}/place`

      const task = await client.ended(await client.export(images[source].id, exportTo, { export_format: format }))

      expect(task).toMatchObject({
        task_status: 'success',
        status: 'success',
        message: '',
        expires_at: expect.any(String)
      })
      const location = String(task.export_location)
      expect(location).toMatch(new RegExp(`^${exportTo}/[0-9a-f-]{36}$`))
      const stored = place.objects.get(new URL(location).pathname) ?? Buffer.of()
      await checkExport(task, stored, { path: images[source].path, format: source }, format)
    })

    it.each(['raw', 'qcow2'])('to S3 in parts as %s', async (format) => {
      await using store = await s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } })
      const task = await client.ended(
        await client.export(images[source].id, 's3://backup/vm', {
          export_format: format,
          export_to_credentials: {
            kind: 's3_static',
            access_key_id: KEY_ID,
            secret_access_key: SECRET,
            endpoint: `http://127.0.0.1:${store.port}`,
            addressing_style: 'path'
          }
        })
      )
      expect(task).toMatchObject({ task_status: 'success', credentials: { kind: 's3_static', state: 'purged' } })
      expect(task.result).toMatchObject({ parts: expect.toSatisfy((parts) => parts > 1) })
      const [key, object] = [...store.objects][0] ?? []
      expect(`s3:/${key}`).toBe(task.export_location)
      await checkExport(task, object?.body ?? Buffer.of(), { path: images[source].path, format: source }, format)
      expect(store.uploads.size).toBe(0)
    })
  })

  it('shows the statuses of the specification on the way', async () => {
    await using place = await putServer()
    await using slow = await faultServer(place.port)
    slow.inject({ kind: 'stall' }, isThePut)
    const id = await client.export(images.raw.id, `http://127.0.0.1:${slow.port}/place`)
    const { seen } = await client.ended(id)
    expect(seen.at(-1)).toBe('success')
    expect(['queued', 'processing', 'transferring', 'success']).toEqual(expect.arrayContaining([...seen]))
    expect(seen).toContain('transferring')
  })

  it('keeps an image from deletion while a task needs it, and no longer', async () => {
    await using place = await putServer()
    await using slow = await faultServer(place.port)
    slow.inject({ kind: 'stall' }, isThePut)
    const image = await client.upload(await readFile(images.qcow2.path), 'qcow2')
    const task = await client.export(image, `http://127.0.0.1:${slow.port}/place`)

    const refused = await client.call('DELETE', `/v2/images/${image}`)
    expect(refused).toMatchObject({ status: 409, body: { error: { message: expect.stringContaining(task) } } })
    expect(await client.ended(task)).toMatchObject({ task_status: 'success' })
    expect(await client.call('DELETE', `/v2/images/${image}`)).toMatchObject({ status: 204 })
  })

  describe('fails with whose turn it is', () => {
    it.each([
      ['refuses', { kind: 'answer', status: 403 }, 'DEST_FORBIDDEN', 'user', /right to write/, 1],
      ['breaks off', { kind: 'reset', afterBytes: 100_000 }, 'DEST_UNREACHABLE', 'destination', /Tried 2 times/, 2],
      ['falls silent', { kind: 'stall' }, 'DEST_UNREACHABLE', 'destination', /Tried 2 times/, 2],
      ['takes all and answers nothing', { kind: 'hang' }, 'DEST_UNREACHABLE', 'destination', /Tried 2 times/, 2]
    ] as const)('when the destination %s', async (_case, fault, code, actor, message, attempts) => {
      await using place = await putServer()
      await using faulty = await faultServer(place.port)
      faulty.inject(fault, isThePut, 99)

      const task = await client.ended(await client.export(images.qcow2.id, `http://127.0.0.1:${faulty.port}/place`))

      expect(task).toMatchObject({
        task_status: 'failure',
        status: 'failure',
        message: expect.stringMatching(message),
        failure: { code, actor, attempts, phase: 'transferring' }
      })
      expect(String(task.message)).toContain('127.0.0.1')
      expect(place.objects.size).toBe(0)
    })

    it('when the credentials are wrong, which are then gone and were never shown', async () => {
      await using store = await s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } })
      const credentials = {
        kind: 's3_static',
        access_key_id: 'AKIDOTHER',
        secret_access_key: SECRET,
        endpoint: `http://127.0.0.1:${store.port}`,
        addressing_style: 'path'
      }
      const id = await client.export(images.raw.id, 's3://backup/vm', { export_to_credentials: credentials })
      const task = await client.ended(id)
      expect(task).toMatchObject({
        task_status: 'failure',
        failure: { actor: 'user', code: 'DEST_AUTH_FAILED', phase: 'preflight' },
        credentials: { state: 'purged' }
      })
      expect(JSON.stringify([task, service.log])).not.toContain(SECRET)
    })
  })

  it.each([
    ['an address that is not allowed', { export_to: 'http://169.254.169.254/latest' }, '/export_to'],
    ['a scheme that is not there', { export_to: 'ftp://example.com/x' }, '/export_to'],
    ['a format that is not there', { export_format: 'floppy' }, '/export_format'],
    ['an unknown field', { exportTo: 'x' }, 'exportTo'],
    ['a wrong type', { image_uuid: 7 }, '/image_uuid']
  ])('refuses %s with 400 and stores nothing', async (_case, change, named) => {
    const before = (await client.call('GET', '/v2/tasks?limit=1000')).body.tasks
    const body = {
      task_type: 'export',
      image_uuid: images.raw.id,
      export_to: 'http://127.0.0.1/x',
      export_format: 'raw'
    }
    const answer = await client.call('POST', '/v2/tasks', { ...body, ...change })
    expect(answer.status).toBe(400)
    expect(JSON.stringify(answer.body)).toContain(named)
    expect((await client.call('GET', '/v2/tasks?limit=1000')).body.tasks).toEqual(before)
  })

  it('refuses an unknown image with 404', async () => {
    const task = {
      task_type: 'export',
      image_uuid: '43215678-4321-4321-8321-432156789abc',
      export_to: 'http://127.0.0.1/x'
    }
    expect(await client.call('POST', '/v2/tasks', { ...task, export_format: 'raw' })).toMatchObject({ status: 404 })
  })
})
