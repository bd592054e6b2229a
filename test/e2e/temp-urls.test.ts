import { execFile } from 'node:child_process'
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeDiskImage } from '../support/disk-image.ts'
import { freshDatabase } from '../support/postgres.ts'
import { qemuImg } from '../support/qemu-img.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'

const run = promisify(execFile)

let folder: string
let service: ServiceProcess
let client: Client
let databaseUrl: string
let disk: string
let imageId: string
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'temp-urls-'))
  const database = await freshDatabase()
  databaseUrl = database.url
  service = startProcess('all', { DATA_DIR: join(folder, 'data'), DATABASE_URL: database.url, TASK_ATTEMPTS: '1' })
  closing.push(
    () => removeDataDir(folder),
    database.drop,
    () => service.stop()
  )
  client = new Client(String((await service.line('listening')).url))
  disk = join(folder, 'disk.raw')
  await makeDiskImage({ path: disk, sizeMiB: 64, contentMiB: 12 })
  imageId = await client.upload(await readFile(disk), 'raw')
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

type Exported = { readonly id: string; readonly url: string; readonly task: Json }

/** An export without `export_to`, ended well. */
async function exported(more: Json = {}, image = imageId): Promise<Exported> {
  const body = { task_type: 'export', image_uuid: image, export_format: 'qcow2', ...more }
  const created = await client.call('POST', '/v2/tasks', body)
  expect(created).toMatchObject({ status: 201, body: { export_to: 'tempurl:' } })
  const task = await client.ended(String(created.body.id))
  expect(task).toMatchObject({ task_status: 'success', message: '' })
  return { id: String(task.id), url: String(task.export_location), task }
}

const get = (url: string, headers: Record<string, string> = {}, method = 'GET') => fetch(url, { method, headers })
const bodyOf = async (answer: Response): Promise<Buffer> => Buffer.from(await answer.arrayBuffer())
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes)
const staged = (id: string): boolean => existsSync(join(folder, 'data/exports', id))

/** What time does, at once. */
async function expire(id: string): Promise<void> {
  const db = new pg.Client({ connectionString: databaseUrl })
  await db.connect()
  await db.query('update temp_urls set expires_at = now() where task_id = $1', [id])
  await db.query('update tasks set expires_at = now() where id = $1', [id])
  await db.end()
}

/** The URL with one of its parameters changed, or gone. */
function changed(url: string, name: string, change: (value: string) => string | undefined): string {
  const other = new URL(url)
  const value = change(other.searchParams.get(name) ?? '')
  if (value === undefined) other.searchParams.delete(name)
  else other.searchParams.set(name, value)
  return other.href
}

/** What an answer looks like to somebody who must not learn anything; its request id is new each time. */
async function looks(answer: Response): Promise<unknown> {
  const headers = [...answer.headers].filter(([name]) => !['date', 'x-openstack-request-id'].includes(name))
  return { status: answer.status, headers, body: await answer.text() }
}

const FORMATS: [string, Json, string, string][] = [
  ['qcow2', {}, 'qcow2', 'virtual'],
  ['vmdk', { format_options: { subformat: 'monolithicSparse' } }, 'vmdk', 'virtual'],
  ['raw', {}, 'raw', 'virtual'],
  ['qcow2', { format_options: { compression: 'zlib' } }, 'qcow2', 'staged'],
  ['vmdk', { format_options: { subformat: 'streamOptimized' } }, 'vmdk', 'staged'],
  ['qcow2', { verify: 'full' }, 'qcow2', 'staged']
]

describe.each(FORMATS)('a temporary URL of %s %o', (export_format, options, qemuFormat, kind) => {
  let file: Exported
  let whole: Buffer
  beforeAll(async () => {
    file = await exported({ export_format, ...options })
  })

  it('gives the whole file, with the digest that the task and the answer state', async () => {
    const path = join(folder, 'whole')
    const { stdout } = await run('curl', ['-sS', '-o', path, '-D', '-', file.url])
    whole = await readFile(path)

    const digest = sha256(whole)
    expect(file.task.result).toMatchObject({
      bytes: whole.length,
      export_location: file.url,
      checksums: { sha256: digest.copy().digest('hex') }
    })
    const headers = stdout.toLowerCase()
    expect(headers).toMatch(/^http\/1.1 200/)
    expect(headers).toContain('content-type: application/octet-stream\r\n')
    expect(headers).toContain(`content-length: ${whole.length}\r\n`)
    expect(headers).toContain('accept-ranges: bytes\r\n')
    expect(headers).toContain('cache-control: private, no-store\r\n')
    expect(headers).toContain('x-content-type-options: nosniff\r\n')
    expect(stdout).toContain(`repr-digest: sha-256=:${digest.copy().digest('base64')}:\r\n`)
    expect(stdout).toContain(`etag: "${digest.digest('hex')}"\r\n`)
    expect(headers).toMatch(new RegExp(`content-disposition: attachment; filename="test-${file.id.slice(0, 8)}\\.`))
    if (qemuFormat !== 'raw') await qemuImg('check', '-q', '-f', qemuFormat, path)
    await qemuImg('compare', '-q', '-f', 'raw', '-F', qemuFormat, disk, path)
    expect(await readdir(join(folder, 'data/exports', file.id))).toEqual([kind === 'staged' ? 'data' : 'virtual.json'])
  })

  it('gives any range of it', async () => {
    const ranges = Array.from({ length: 30 }, () => {
      const from = randomInt(whole.length)
      return [from, randomInt(from, Math.min(whole.length, from + 3_000_000))] as const
    })
    for (const [from, last] of [
      ...ranges,
      [0, 0],
      [whole.length - 1, whole.length - 1],
      [1, whole.length + 5]
    ] as const) {
      const answer = await get(file.url, { range: `bytes=${from}-${last}` })
      const end = Math.min(last, whole.length - 1)
      expect(answer.status).toBe(206)
      expect(answer.headers.get('content-range')).toBe(`bytes ${from}-${end}/${whole.length}`)
      expect((await bodyOf(answer)).equals(whole.subarray(from, end + 1))).toBe(true)
    }
  })

  it('goes on with a download that broke off', async () => {
    const path = join(folder, 'resumed')
    await writeFile(path, whole)
    await truncate(path, randomInt(1, whole.length))

    await run('curl', ['-sS', '-C', '-', '-o', path, file.url])

    expect((await readFile(path)).equals(whole)).toBe(true)
  })

  it('answers HEAD as GET, without the bytes and whatever range is asked for', async () => {
    const head = await get(file.url, { range: 'bytes=0-9' }, 'HEAD')
    const whole200 = await get(file.url)
    await whole200.body?.cancel()
    const named = (answer: Response) =>
      [...answer.headers].filter(([name]) => !/^(date|x-openstack|keep-|conn)/.test(name))

    expect(head.status).toBe(200)
    expect(named(head)).toEqual(named(whole200))
    expect((await bodyOf(head)).length).toBe(0)
  })
})

describe('conditions and ranges', () => {
  let file: Exported
  let whole: Buffer
  let etag: string
  beforeAll(async () => {
    file = await exported()
    const answer = await get(file.url)
    whole = await bodyOf(answer)
    etag = answer.headers.get('etag') ?? ''
  })

  it.each([
    ['the right etag', () => etag, 206],
    ['another etag', () => '"0"', 200],
    ['a weak etag', () => `W/${etag}`, 200]
  ])('If-Range with %s', async (_case, ifRange, status) => {
    const answer = await get(file.url, { range: 'bytes=5-9', 'if-range': ifRange() })

    expect(answer.status).toBe(status)
    expect((await bodyOf(answer)).equals(status === 206 ? whole.subarray(5, 10) : whole)).toBe(true)
  })

  it('several ranges give the whole, one past the end 416, a known etag 304', async () => {
    expect((await bodyOf(await get(file.url, { range: 'bytes=0-1,5-6' }))).equals(whole)).toBe(true)
    const past = await get(file.url, { range: `bytes=${whole.length}-` })
    expect([past.status, past.headers.get('content-range')]).toEqual([416, `bytes */${whole.length}`])
    const known = await get(file.url, { 'if-none-match': etag })
    expect([known.status, (await bodyOf(known)).length, known.headers.get('etag')]).toEqual([304, 0, etag])
  })

  it('the name to save it under can be another', async () => {
    const answer = await get(`${file.url}&filename=${encodeURIComponent('Übung "1"/2\r\n.qcow2')}&inline`, {}, 'HEAD')
    expect(answer.headers.get('content-disposition')).toBe(
      `inline; filename="_bung _1__2.qcow2"; filename*=UTF-8''%C3%9Cbung%20%221%22_2.qcow2`
    )
  })
})

describe('a URL that is not ours, or not any more', () => {
  let file: Exported
  let unknown: unknown
  beforeAll(async () => {
    file = await exported({ temp_url: { ip_range: '127.0.0.0/8' } })
    unknown = await looks(await get(file.url.replace(file.id, '43215678-4321-4321-8321-432156789abc')))
  })

  it('is 404 where there never was one', () => {
    expect(unknown).toMatchObject({ status: 404, body: expect.stringContaining('could not be found') })
  })

  it.each([
    ['another signature', 'temp_url_sig', () => randomBytes(32).toString('hex')],
    ['a signature in capitals', 'temp_url_sig', (value: string) => value.toUpperCase()],
    ['a short signature', 'temp_url_sig', (value: string) => value.slice(1)],
    ['no signature', 'temp_url_sig', () => undefined],
    ['more time', 'temp_url_expires', (value: string) => String(Number(value) + 1)],
    ['an end in other words', 'temp_url_expires', (value: string) => `${value}.0`],
    ['no end', 'temp_url_expires', () => undefined],
    ['everybody', 'temp_url_ip_range', () => undefined],
    ['others', 'temp_url_ip_range', () => '127.0.0.1'],
    ['no network', 'temp_url_ip_range', () => '']
  ])('looks the same with %s', async (_case, name, change) => {
    expect(await looks(await get(changed(file.url, name, change)))).toEqual(unknown)
  })

  it.each([
    ['another name', (url: string) => url.replace('/test-', '/rest-')],
    ['a parameter twice', (url: string) => `${url}&temp_url_sig=${'0'.repeat(64)}`],
    ['a range twice', (url: string) => `${url}&temp_url_ip_range=0.0.0.0/0`],
    ['no id', (url: string) => url.replace(/exports\/[^/]+/, 'exports/..%2f..')]
  ])('looks the same with %s', async (_case, change) => {
    expect(await looks(await get(change(file.url)))).toEqual(unknown)
  })

  it('looks the same from another address, after its end, and for another method than GET and HEAD', async () => {
    const elsewhere = await exported({ temp_url: { ip_range: '203.0.113.0/24' } })
    const [ended, replaced] = [await exported({ verify: 'full' }), await exported()]
    await expire(ended.id)
    await client.call('POST', `/v2/tasks/${replaced.id}/temp_url`, { revoke_earlier: true })

    expect(await looks(await get(elsewhere.url))).toEqual(unknown)
    expect(await looks(await get(ended.url))).toEqual(unknown)
    expect(await looks(await get(replaced.url))).toEqual(unknown)
    expect((await client.call('GET', `/v2/tasks/${ended.id}`)).status).toBe(404)
    while (staged(ended.id)) await sleep(50)
    expect((await get(file.url, {}, 'PUT')).status).toBe(401)
    expect((await get(file.url)).status).toBe(200)
  })

  it('and its secrets stand in no line of the log', async () => {
    expect(JSON.stringify(service.log)).not.toMatch(/temp_url_sig|[0-9a-f]{64}/)
  })
})

describe('the owner of a task', () => {
  const others = () =>
    new Client(new URL(String(service.log.find(({ msg }) => msg === 'listening')?.url)).origin, 'eve:evil:member')

  it('extends its URL, and the task with it', async () => {
    const file = await exported({ temp_url: { ttl_seconds: 60 } })
    const issued = await client.call('POST', `/v2/tasks/${file.id}/temp_url`, {
      ttl_seconds: 7200,
      ip_range: '127.0.0.1'
    })
    const { body: task } = await client.call('GET', `/v2/tasks/${file.id}`)

    expect(issued).toMatchObject({ status: 200, body: { ip_range: '127.0.0.1', expires_at: task.expires_at } })
    expect(issued.body.export_location).toBe(task.export_location)
    expect(Date.parse(String(task.expires_at)) - Date.parse(String(file.task.expires_at))).toBeGreaterThan(7_000_000)
    for (const url of [file.url, String(task.export_location)]) expect((await get(url, {}, 'HEAD')).status).toBe(200)
  })

  it('may ask for no more than the operator allows, and for no range that is none', async () => {
    const file = await exported()
    const ask = (body: Json) => client.call('POST', `/v2/tasks/${file.id}/temp_url`, body)
    expect(await ask({ ttl_seconds: 604_801 })).toMatchObject({
      status: 400,
      body: { error: { violations: [{ pointer: '/ttl_seconds' }] } }
    })
    expect(await ask({ ip_range: '10.0.0.0/33' })).toMatchObject({ status: 400 })
    const create = {
      task_type: 'export',
      image_uuid: imageId,
      export_format: 'raw',
      temp_url: { ttl_seconds: 604_801 }
    }
    expect(await client.call('POST', '/v2/tasks', create)).toMatchObject({
      status: 400,
      body: { error: { violations: [{ pointer: '/temp_url/ttl_seconds' }] } }
    })
  })

  it('keeps the image until the URL is revoked, which ends it for good', async () => {
    const image = await client.upload(randomBytes(1 << 20), 'raw')
    const file = await exported({ export_format: 'raw' }, image)

    const refused = await client.call('DELETE', `/v2/images/${image}`)
    expect(refused).toMatchObject({ status: 409, body: { error: { failure_code: 'IMAGE_IN_USE', tasks: [file.id] } } })
    expect(JSON.stringify(refused.body)).toContain('DELETE /v2/tasks/{id}/temp_url')

    expect((await client.call('DELETE', `/v2/tasks/${file.id}/temp_url`)).status).toBe(204)
    expect((await client.call('DELETE', `/v2/tasks/${file.id}/temp_url`)).status).toBe(204)
    expect((await get(file.url)).status).toBe(404)
    expect((await client.call('DELETE', `/v2/images/${image}`)).status).toBe(204)
    expect((await client.call('POST', `/v2/tasks/${file.id}/temp_url`, {})).status).toBe(409)
    const { body: task } = await client.call('GET', `/v2/tasks/${file.id}`)
    expect(task).toMatchObject({ task_status: 'success' })
    expect(task.export_location).toBeUndefined()
  })

  it('may delete the image of a kept file, and its bytes go when the URL is revoked', async () => {
    const image = await client.upload(randomBytes(1 << 20), 'raw')
    const file = await exported({ format_options: { compression: 'zlib' } }, image)
    expect((await client.call('DELETE', `/v2/images/${image}`)).status).toBe(204)
    expect((await get(file.url)).status).toBe(200)
    expect(staged(file.id)).toBe(true)

    await client.call('DELETE', `/v2/tasks/${file.id}/temp_url`)

    while (staged(file.id)) await sleep(50)
    expect(service.log).toContainEqual(
      expect.objectContaining({ msg: 'file of an ended temporary URL removed', taskId: file.id })
    )
  })

  it('sees every download', async () => {
    const file = await exported()
    const whole = await bodyOf(await get(file.url))
    await bodyOf(await get(file.url, { range: 'bytes=10-19' }))
    await get(file.url, {}, 'HEAD')

    const listed = async () => (await client.call('GET', `/v2/tasks/${file.id}/downloads`)).body.downloads as Json[]
    while ((await listed()).some((one) => one.finished_at === null)) await sleep(20)

    expect(await listed()).toMatchObject([
      { status: 206, client: '127.0.0.1', range: { from: 10, to: 20 }, bytes_sent: 10, complete: true },
      { status: 200, range: { from: 0, to: whole.length }, bytes_sent: whole.length, complete: true }
    ])
  })

  it('is the only one who can', async () => {
    const { id } = await exported()
    const eve = others()
    for (const [method, path] of [
      ['POST', 'temp_url'],
      ['DELETE', 'temp_url'],
      ['GET', 'downloads']
    ] as const) {
      const foreign = await eve.call(method, `/v2/tasks/${id}/${path}`, method === 'POST' ? {} : undefined)
      expect(foreign).toMatchObject({ status: 404, body: { error: { failure_code: 'TASK_NOT_FOUND' } } })
    }
  })
})

it('a file that is named by a template is called so', async () => {
  const { url } = await exported({ object: { key_template: '{date}/Büro {image_name}.{ext}' } })
  expect(new URL(url).pathname).toMatch(/\/B%C3%BCro%20test\.qcow2$/)
  expect((await get(url, {}, 'HEAD')).headers.get('content-disposition')).toContain(
    "filename*=UTF-8''B%C3%BCro%20test.qcow2"
  )
})

it('a dry run says what it would be', async () => {
  const body = { task_type: 'export', image_uuid: imageId, export_format: 'qcow2', dry_run: true }
  expect(await client.call('POST', '/v2/tasks', body)).toMatchObject({ status: 200, body: { ok: true } })
})
