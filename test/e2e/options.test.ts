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
import { removeDataDir } from '../support/remove-data-dir.ts'
import { s3Server } from '../support/s3-server.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'

const KEY_ID = 'AKIDEXAMPLE'

describe('the options of an export', () => {
  let folder: string
  let service: ServiceProcess
  let client: Client
  let image: string
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'e2e-options-'))
    const database = await freshDatabase()
    service = startProcess('all', {
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      TASK_ATTEMPTS: '2',
      DESTINATION_SILENCE_SECONDS: '3'
    })
    closing.push(
      () => removeDataDir(folder),
      database.drop,
      () => service.stop()
    )
    client = new Client(String((await service.line('listening')).url))
    await makeDiskImage({ path: join(folder, 'disk.raw'), sizeMiB: 64, contentMiB: 16 })
    image = await client.upload(await readFile(join(folder, 'disk.raw')), 'raw')
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const credentials = (port: number) => ({
    kind: 's3_static',
    access_key_id: KEY_ID,
    secret_access_key: 'CANARY-secret-key',
    endpoint: `http://127.0.0.1:${port}`,
    addressing_style: 'path'
  })
  const s3 = () => s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } })
  const toS3 = async (store: { port: number }, more: Json) =>
    client.ended(
      await client.export(image, 's3://backup/vm', {
        export_format: 'raw',
        export_to_credentials: credentials(store.port),
        ...more
      })
    )
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

  it('name the object, and are shown as they were given', async () => {
    await using store = await s3()
    const object = { key_template: '{image_name}/{format}-{task_id}.{ext}', metadata: { ticket: 'OPS-1' } }

    const task = await toS3(store, { object, verify: 'ranges', limits: { bandwidth_bps: 100_000_000 } })

    expect(task).toMatchObject({
      task_status: 'success',
      export_location: `s3://backup/vm/test/raw-${task.id}.raw`,
      object,
      verify: 'ranges',
      limits: { bandwidth_bps: 100_000_000 },
      input: { object, verify: 'ranges' },
      result: { verify: { level: 'ranges', ok: true, ranges_read: 32 } }
    })
    expect(task).not.toHaveProperty('checksums')
    expect(store.objects.get(`/backup/vm/test/raw-${task.id}.raw`)?.metadata).toMatchObject({ ticket: 'OPS-1' })
  })

  it("are understood in Glance's form and under the image's path", async () => {
    await using place = await putServer()
    const what = {
      export_to: `http://127.0.0.1:${place.port}/p`,
      export_format: 'raw',
      object: { key_template: '{task_id}' }
    }
    const ids = [
      await client.call('POST', '/v2/tasks', { type: 'export', input: { image_id: image, ...what } }),
      await client.call('POST', `/v2/images/${image}/export`, what)
    ].map(({ body }) => String(body.id))

    for (const id of ids) {
      expect(await client.ended(id)).toMatchObject({
        task_status: 'success',
        export_location: `${what.export_to}/${id}`
      })
    }
  })

  it('write sidecars that sha256sum and programs can read', async () => {
    await using store = await s3()
    const task = await toS3(store, {
      export_format: 'vmdk',
      object: { key_template: 'golden.vmdk' },
      sidecars: ['sha256'],
      manifest: true,
      verify: 'full'
    })

    const bytes = store.objects.get('/backup/vm/golden.vmdk')?.body ?? Buffer.of()
    expect(task).toMatchObject({
      task_status: 'success',
      warnings: [],
      result: {
        checksums: { sha256: sha256(bytes) },
        verify: { level: 'full', ok: true },
        sha256_location: 's3://backup/vm/golden.vmdk.sha256',
        manifest_location: 's3://backup/vm/golden.vmdk.manifest.json'
      }
    })
    expect(store.objects.get('/backup/vm/golden.vmdk.sha256')?.body.toString()).toBe(`${sha256(bytes)}  golden.vmdk\n`)
    const manifest = JSON.parse(store.objects.get('/backup/vm/golden.vmdk.manifest.json')?.body.toString() ?? '')
    expect(manifest).toMatchObject({
      version: 1,
      task_id: task.id,
      source: { image_id: image, disk_format: 'raw', os_hash_algo: 'sha512' },
      artifact: {
        key: 'golden.vmdk',
        format: 'vmdk',
        bytes: bytes.length,
        sha256: sha256(bytes),
        virtual_size: 64 << 20
      }
    })
    await writeFile(join(folder, 'golden.vmdk'), bytes)
    await qemuImg('compare', '-q', '-f', 'raw', '-F', 'vmdk', join(folder, 'disk.raw'), join(folder, 'golden.vmdk'))
  })

  it('decide what happens to an object of that name', async () => {
    await using store = await s3()
    const named = (if_exists?: string) =>
      toS3(store, { object: { key_template: 'disk.raw', ...(if_exists && { if_exists }) } })
    const first = await named()
    expect(first.task_status).toBe('success')

    expect(await named()).toMatchObject({
      task_status: 'failure',
      failure: { code: 'DEST_OBJECT_EXISTS', phase: 'preflight' }
    })
    expect(await named('suffix')).toMatchObject({ export_location: 's3://backup/vm/disk-1.raw' })
    const reused = await named('reuse')
    expect(reused).toMatchObject({ export_location: first.export_location, result: { reused: true, parts: 0 } })
    expect(await named('replace')).toMatchObject({ task_status: 'success', export_location: first.export_location })
    expect([...store.objects.keys()].sort()).toEqual(['/backup/vm/disk-1.raw', '/backup/vm/disk.raw'])
  })

  it('give tasks that run at the same time different names, or end all but one', async () => {
    await using place = await putServer()
    const atOnce = (if_exists: string, key_template: string) =>
      Promise.all(
        [1, 2, 3].map(async () =>
          client.ended(
            await client.export(image, `http://127.0.0.1:${place.port}/place`, {
              export_format: 'raw',
              object: { key_template, if_exists },
              limits: { bandwidth_bps: 64_000_000 }
            })
          )
        )
      )

    const others = await atOnce('suffix', 'disk.raw')
    const alone = await atOnce('fail', 'alone.raw')

    expect(others.map(({ task_status: status }) => status)).toEqual(['success', 'success', 'success'])
    expect(new Set(others.map(({ export_location: at }) => at)).size).toBe(3)
    expect(alone.map(({ task_status: status }) => status).sort()).toEqual(['failure', 'failure', 'success'])
    const failures = alone.flatMap(({ failure }) => failure ?? [])
    expect(failures).toEqual([0, 1].map(() => expect.objectContaining({ code: 'DEST_OBJECT_EXISTS' })))
    const names = ['alone.raw', 'disk-1.raw', 'disk-2.raw', 'disk.raw'].map((name) => `/place/${name}`)
    expect([...place.objects.keys()].sort()).toEqual(names)
  })

  it('reuse nothing whose bytes are others than they say', async () => {
    await using place = await putServer()
    const exportTo = `http://127.0.0.1:${place.port}/place`
    const named = async (more: Json) =>
      client.ended(
        await client.export(image, exportTo, {
          export_format: 'raw',
          sidecars: ['manifest'],
          object: { key_template: 'disk.raw', if_exists: 'reuse' },
          ...more
        })
      )
    await named({})
    expect(await named({ verify: 'full', checksums: ['md5'], sidecars: ['sha256', 'manifest'] })).toMatchObject({
      task_status: 'success',
      result: { reused: true, checksums: { md5: expect.stringMatching(/^[0-9a-f]{32}$/) }, verify: { level: 'full' } }
    })
    expect(place.objects.has('/place/disk.raw.sha256')).toBe(true)
    place.objects.get('/place/disk.raw')?.fill(7, 1 << 20, 2 << 20)

    const task = await named({ verify: 'full' })

    expect(task).toMatchObject({ task_status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS', actor: 'user' } })
    expect(task.message).toContain('if_exists')
    expect(place.objects.has('/place/disk.raw')).toBe(true)
  })

  it('do not reuse other bytes', async () => {
    await using store = await s3()
    await toS3(store, { object: { key_template: 'disk' } })

    const task = await toS3(store, { export_format: 'vdi', object: { key_template: 'disk', if_exists: 'reuse' } })

    expect(task).toMatchObject({ task_status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS' } })
  })

  it('let a pre-signed URL name its object, and keep its query out of every answer and log', async () => {
    await using place = await putServer()
    const to = `http://127.0.0.1:${place.port}/bucket/one.raw`

    const id = await client.export(image, `${to}?X-Amz-Signature=CANARY-signature`, {
      export_format: 'raw',
      verify: 'none'
    })
    const task = await client.ended(id)

    expect(task).toMatchObject({
      task_status: 'success',
      export_to: to,
      export_location: to,
      credentials: { kind: 'presigned', state: 'purged' }
    })
    expect(place.objects.get('/bucket/one.raw?X-Amz-Signature=CANARY-signature')?.length).toBe(64 << 20)
    expect(JSON.stringify([task, service.log])).not.toContain('CANARY-signature')
  })

  it('have a bad object removed and sent again', async () => {
    await using place = await putServer()
    const exportTo = `http://127.0.0.1:${place.port}/place`
    const spoil = setInterval(() => {
      // Once: as soon as a whole object is there, one of its bytes changes.
      for (const [path, bytes] of place.objects) {
        if (path.includes('.probe-') || bytes.length !== 64 << 20) continue
        clearInterval(spoil)
        place.objects.set(path, Buffer.concat([Buffer.from([bytes.at(0) ? 0 : 1]), bytes.subarray(1)]))
      }
    }, 0)

    const task = await client.ended(await client.export(image, exportTo, { export_format: 'raw', verify: 'full' }))

    expect(task).toMatchObject({
      task_status: 'success',
      attempt: 2,
      cleanup: { state: 'done', removed: ['object'], left: [] },
      result: { verify: { level: 'full', ok: true } }
    })
    expect(place.seen.filter(({ method, path }) => method === 'PUT' && !path.includes('.probe-'))).toHaveLength(2)
    const [bytes = Buffer.of()] = place.objects.values()
    expect(sha256(bytes)).toBe(sha256(await readFile(join(folder, 'disk.raw'))))
  })

  it('report what was removed after a failure', async () => {
    await using store = await s3()
    await using faulty = await faultServer(store.port)
    faulty.inject({ kind: 'answer', status: 403 }, ({ method }) => method === 'PUT', 99)

    const task = await toS3(faulty, {})

    expect(task).toMatchObject({
      task_status: 'failure',
      failure: { code: 'DEST_FORBIDDEN', phase: 'transferring' },
      cleanup: { state: 'done', removed: ['multipart upload'], left: [] }
    })
    expect(store.uploads.size).toBe(0)
  })

  it.each([
    [{ object: { key_template: '{name}' } }, '/object/key_template'],
    [{ object: { key_template: '../up' } }, '/object/key_template'],
    [{ object: { storage_class: 'COLD' } }, '/object/storage_class'],
    [{ object: { metadata: { 'glance-export-id': 'forged' } } }, '/object/metadata/glance-export-id'],
    [{ object: { colour: 'red' } }, '/object/colour'],
    [{ checksums: ['crc32'] }, '/checksums/0'],
    [{ sidecars: ['sha256', 'sha256'] }, '/sidecars'],
    [{ verify: 'maybe' }, '/verify'],
    [{ limits: { bandwidth_bps: 1 } }, '/limits/bandwidth_bps'],
    [{ temp_url: { ttl_seconds: 600 } }, '/temp_url'],
    [{ dry_run: 'yes' }, '/dry_run']
  ])('are refused with a pointer: %j', async (options, pointer) => {
    const body = { task_type: 'export', image_uuid: image, export_to: 'http://127.0.0.1/x', export_format: 'raw' }

    const answer = await client.call('POST', '/v2/tasks', { ...body, ...options })

    expect(answer.status).toBe(400)
    expect(answer.body).toMatchObject({
      error: { violations: expect.arrayContaining([expect.objectContaining({ pointer })]) }
    })
  })
})
