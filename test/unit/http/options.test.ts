import { describe, expect, test } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, taskId } from '../../../src/domain/ids.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const IMAGE = 'deadbeef-dead-dead-dead-beefbeefbeef'
const TO = 'https://store.example.com/mycontainer/path'
const member = token('demo')
const flat = { task_type: 'export', image_uuid: IMAGE, export_to: TO, export_format: 'qcow2' }

function serviceWithImage() {
  const service = new MemoryService()
  service.addImage({ id: imageId(IMAGE), status: 'active' })
  const app = appOver(service)
  const post = (payload: object, url = '/v2/tasks') => app.inject({ method: 'POST', url, headers: member, payload })
  return { service, post }
}

const OPTIONS = {
  object: { key_template: '{image_name}.{ext}', if_exists: 'suffix' },
  checksums: ['md5', 'content'],
  sidecars: ['sha256'],
  verify: 'full',
  limits: { bandwidth_bps: 1_000_000 }
}

describe('the options of a request', () => {
  test.each([
    ["the specification's form", '/v2/tasks', { ...flat, ...OPTIONS }],
    ["Glance's form", '/v2/tasks', { type: 'export', input: { ...flat, task_type: undefined, ...OPTIONS } }],
    ["the image's path", `/v2/images/${IMAGE}/export`, { export_to: TO, export_format: 'raw', ...OPTIONS }]
  ])('are read in %s and shown as they were asked for', async (_case, url, payload) => {
    const { post, service } = serviceWithImage()

    const answer = await post(payload, url)

    expect(answer.statusCode).toBe(201)
    expect(answer.json()).toMatchObject({ ...OPTIONS, input: OPTIONS })
    expect(service.asked).toMatchObject({
      options: {
        object: OPTIONS.object,
        checksums: ['md5'],
        contentHash: true,
        sidecars: ['sha256'],
        verify: 'full',
        limits: OPTIONS.limits
      }
    })
  })

  test('are the defaults when they are left out or empty, and are not shown then', async () => {
    const { post, service } = serviceWithImage()

    const answer = await post({ ...flat, object: {}, checksums: [], sidecars: [], manifest: false, limits: {} })

    expect(service.asked).toMatchObject({ options: NO_OPTIONS })
    for (const name of ['object', 'checksums', 'sidecars', 'verify', 'limits', 'temp_url', 'manifest', 'dry_run'])
      expect(answer.json()).not.toHaveProperty(name)
  })

  test('know the manifest by two names', async () => {
    const { post, service } = serviceWithImage()

    await post({ ...flat, manifest: true, sidecars: ['manifest'] })

    expect(service.asked).toMatchObject({ options: { sidecars: ['manifest'] } })
  })

  test('let export_to be left out for a temporary URL', async () => {
    const { post, service } = serviceWithImage()
    const { export_to: _left, ...rest } = flat

    await post({ ...rest, temp_url: { ttl_seconds: 3600, ip_range: '203.0.113.0/24' } })

    expect(service.asked).toMatchObject({
      exportTo: 'tempurl:',
      options: { tempUrl: { ttl_seconds: 3600, ip_range: '203.0.113.0/24' } }
    })
  })
})

describe('a dry run', () => {
  test.each([
    ['/v2/tasks', { ...flat, dry_run: true }],
    ['/v2/tasks', { type: 'export', input: { image_id: IMAGE, export_to: TO, export_format: 'raw', dry_run: true } }],
    [`/v2/images/${IMAGE}/export`, { export_to: TO, export_format: 'raw', dry_run: true }],
    ['/v2/tasks/preflight', flat],
    ['/v2/tasks/preflight', { ...flat, dry_run: false }]
  ])('%s answers 200 with the checks and makes no task', async (url, payload) => {
    const { post, service } = serviceWithImage()

    const answer = await post(payload, url)

    expect(answer.statusCode).toBe(200)
    expect(answer.headers).not.toHaveProperty('location')
    expect(answer.json()).toEqual({
      ok: false,
      duration_ms: 12,
      checks: [
        { id: 'image.active', ok: true },
        {
          id: 'dest.auth',
          ok: false,
          code: 'DEST_AUTH_FAILED',
          message: 'No: send valid ones.',
          hint: 'send valid ones.',
          actor: 'user'
        },
        { id: 'dest.collision', ok: false, skipped: true }
      ],
      estimate: { bytes_min: 1, bytes_max: 2, seconds: 3, basis: 'a guess' }
    })
    expect(service.tasks.size).toBe(0)
  })

  test('needs the right to write, and an image that the caller may see', async () => {
    const { service } = serviceWithImage()
    const app = appOver(service)
    const as = async (headers: Record<string, string>) =>
      (await app.inject({ method: 'POST', url: '/v2/tasks/preflight', headers, payload: flat })).statusCode

    expect(await as({})).toBe(401)
    expect(await as(token('demo', 'reader'))).toBe(403)
    expect(await as(token('other'))).toBe(404)
  })
})

describe("the caller's own token as credentials", () => {
  const swift = { ...flat, export_to: 'swift://swift.example.com/AUTH_demo/backup' }
  const credentials = { kind: 'request_token', auth_url: 'https://keystone.example.com/v3' }

  test('takes the place of a token in the body', async () => {
    const { post, service } = serviceWithImage()

    const answer = await post({ ...swift, export_to_credentials: credentials })

    expect(answer.statusCode).toBe(201)
    expect(service.asked).toMatchObject({
      credentials: { kind: 'token', token: member['x-auth-token'], auth_url: credentials.auth_url }
    })
    expect(answer.body).not.toContain(member['x-auth-token'])
  })

  test('cannot be given beside another', async () => {
    const { post } = serviceWithImage()

    const answer = await post({ ...swift, export_to_credentials: { ...credentials, token: 'CANARY' } })

    expect(answer.json().error.violations).toMatchObject([{ pointer: '/export_to_credentials/token' }])
    expect(answer.body).not.toContain('CANARY')
  })
})

test('a task shows what its export was like', async () => {
  const service = new MemoryService()
  const { id } = service.addTask({
    id: taskId('43215678-4321-4321-4321-432156789abc'),
    status: 'success',
    warnings: [{ code: 'SIDECAR_NOT_WRITTEN', message: 'No.' }],
    cleanup: { state: 'partial', removed: ['object'], left: [{ what: 'a part', why: 'refused' }] },
    result: {
      location: `${TO}/x`,
      bytes: 10,
      virtualSize: 20,
      sha256: 'ab',
      composite: null,
      checksums: { md5: 'cd' },
      contentHash: { algo: 'blake', value: 'ef' },
      etag: '"e"',
      verify: { level: 'ranges', ok: true, rangesRead: 32 },
      sidecars: { sha256: `${TO}/x.sha256`, manifest: `${TO}/x.manifest.json` },
      parts: 1,
      durationSeconds: 1.5
    }
  })

  const task = (await appOver(service).inject({ url: `/v2/tasks/${id}`, headers: member })).json()

  expect(task.result).toEqual({
    export_location: `${TO}/x`,
    bytes: 10,
    virtual_size: 20,
    checksums: { sha256: 'ab', md5: 'cd' },
    content_hash: { algo: 'blake', value: 'ef' },
    etag: '"e"',
    verify: { level: 'ranges', ok: true, ranges_read: 32 },
    sha256_location: `${TO}/x.sha256`,
    manifest_location: `${TO}/x.manifest.json`,
    parts: 1,
    duration_seconds: 1.5
  })
  expect(task).toMatchObject({
    warnings: [{ code: 'SIDECAR_NOT_WRITTEN', message: 'No.' }],
    cleanup: { state: 'partial', removed: ['object'], left: [{ what: 'a part', why: 'refused' }] }
  })
})
