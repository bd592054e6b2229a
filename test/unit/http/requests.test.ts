import { describe, expect, test } from 'vitest'
import { imageId } from '../../../src/domain/ids.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const IMAGE = 'deadbeef-dead-dead-dead-beefbeefbeef'
const flat = { task_type: 'export', image_uuid: IMAGE, export_to: 'https://example.com/place', export_format: 'qcow2' }
const swift = { url: 'swift://swift.example.com/AUTH_{project_id}', authUrl: 'https://keystone.example.com/v3' }

function populated(change: Parameters<typeof appOver>[1] = {}) {
  const service = new MemoryService()
  service.addImage({ id: imageId(IMAGE), status: 'active' })
  return { service, app: appOver(service, { formats: ['raw', 'qcow2', 'vhd'], ...change }) }
}

const post = (app: ReturnType<typeof appOver>, payload: object, headers = {}, url = '/v2/tasks') =>
  app.inject({ method: 'POST', url, headers: { ...token('demo'), ...headers }, payload })

describe("Rackspace's form", () => {
  const rackspace = { type: 'export', input: { image_uuid: IMAGE, receiving_swift_container: 'my exports' } }

  test("goes to the project's own account, with the token of the request", async () => {
    const { app, service } = populated({ defaultSwift: swift })

    const answer = await post(app, rackspace)

    expect(answer.statusCode).toBe(201)
    expect(answer.json()).toMatchObject({
      export_to: 'swift://swift.example.com/AUTH_demo/my%20exports',
      export_format: 'vhd',
      object: { key_template: '{image_id}.{ext}', if_exists: 'fail' },
      credentials: { kind: 'token' }
    })
    expect(service.asked).toMatchObject({
      credentials: { kind: 'token', token: 'alice:demo:member', auth_url: swift.authUrl }
    })
  })

  test('is refused in a sentence where the operator has set no Swift', async () => {
    const answer = await post(populated().app, rackspace)

    expect(answer.statusCode).toBe(400)
    expect(answer.json().error.message).toMatch(
      /receiving_swift_container cannot be used here: the operator has set no/
    )
    expect(answer.json().error.violations[0].pointer).toBe('/input/receiving_swift_container')
  })

  test.each(['a/b', 'a?b', 'a.b', '', 'x'.repeat(248), 'a\tb'])('takes no container %j', async (container) => {
    const input = { ...rackspace.input, receiving_swift_container: container }

    const answer = await post(populated({ defaultSwift: swift }).app, { type: 'export', input })

    expect(answer.statusCode).toBe(400)
    expect(answer.json().error.violations).toEqual([
      {
        pointer: '/input/receiving_swift_container',
        message: expect.stringContaining('must be the name of a container')
      }
    ])
  })
})

describe('mixed forms', () => {
  test.each([
    [
      { ...flat, type: 'export', input: {}, colour: 1 },
      { '/type': 'another form', '/input': 'another form', '/colour': 'is not a known field' }
    ],
    [
      { type: 'export', input: { image_id: IMAGE, export_format: 'raw' }, image_uuid: IMAGE, size: 1 },
      { '/image_uuid': 'another form', '/size': 'is not a known field' }
    ],
    [
      { type: 'export', input: { image_uuid: IMAGE, receiving_swift_container: 'c', export_to: 's3://b', size: 1 } },
      { '/input/export_to': 'another form', '/input/size': 'is not a known field' }
    ],
    [
      { task_type: 'import', image_uuid: 'x', export_to: 3, export_format: 'ova', tags: ['a', 'a'] },
      {
        '/task_type': 'must be export',
        '/image_uuid': 'must be a UUID',
        '/export_to': 'must be a string, but is a number',
        '/export_format': 'must be one of raw, qcow2, vhd',
        '/tags': 'duplicate'
      }
    ]
  ])('are refused with everything that is wrong: %j', async (payload, expected) => {
    const answer = await post(populated().app, payload)

    expect(answer.statusCode).toBe(400)
    const { violations } = answer.json().error as { violations: { pointer: string; message: string }[] }
    expect(violations.map(({ pointer }) => pointer).sort()).toEqual(Object.keys(expected).sort())
    for (const { pointer, message } of violations) expect(message).toContain(Object(expected)[pointer])
  })

  test('list more violations than a sentence holds', async () => {
    const unknown = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`field${index}`, index]))

    const { error } = (await post(populated().app, { ...flat, ...unknown })).json()

    expect(error.violations).toHaveLength(50)
    expect(error.message).toContain('; and 40 more')
  })
})

describe('what a client writes on its task', () => {
  const labels = {
    description: 'nightly golden image',
    tags: ['nightly', 'größe 1'],
    metadata: { ticket: 'OPS-1234', 'a/b': '' },
    priority: 'low',
    expires_after_seconds: 3600
  }

  test.each([
    ['the flat form', { ...flat, ...labels }, '/v2/tasks'],
    [
      "Glance's form",
      { type: 'export', input: { image_id: IMAGE, export_to: flat.export_to, export_format: 'raw', ...labels } },
      '/v2/tasks'
    ],
    [
      'the path of the image',
      { export_format: 'raw', export_to: flat.export_to, ...labels },
      `/v2/images/${IMAGE}/export`
    ]
  ])('is kept and shown, in %s', async (_name, payload, url) => {
    const answer = await post(populated().app, payload, {}, url)

    const { expires_after_seconds: _kept, ...shown } = labels
    expect(answer.statusCode).toBe(201)
    expect(answer.json()).toMatchObject({ ...shown, input: labels })
  })

  test.each([
    [{ tags: ['a,b'] }, '/tags/0'],
    [{ tags: [''] }, '/tags/0'],
    [{ tags: Array.from({ length: 51 }, String) }, '/tags'],
    [{ metadata: { 'a b': 'x' } }, '/metadata/a b'],
    [{ metadata: { a: 1 } }, '/metadata/a'],
    [{ description: 'x'.repeat(1025) }, '/description'],
    [{ priority: 'urgent' }, '/priority'],
    [{ expires_after_seconds: 59 }, '/expires_after_seconds'],
    [{ limits: { deadline: 'tomorrow' } }, '/limits/deadline'],
    [{ limits: { deadline: '2020-01-01T00:00:00Z' } }, '/limits/deadline'],
    [{ limits: { deadline: '2099-12-01T00:00:00+20:00' } }, '/limits/deadline'], // PostgreSQL knows no such zone
    [{ limits: { max_attempts: 0 } }, '/limits/max_attempts'],
    [{ client_token: 'with spaces' }, '/client_token']
  ])('is refused as %j', async (change, pointer) => {
    const answer = await post(populated().app, { ...flat, ...change })

    expect(answer.statusCode).toBe(400)
    expect(answer.json().error.violations.map((one: { pointer: string }) => one.pointer)).toContain(pointer)
  })

  test('takes an admin for the priority high', async () => {
    const { app } = populated()
    const urgent = { ...flat, priority: 'high' }

    const member = await post(app, urgent)
    const admin = await post(app, urgent, token('demo', 'admin'))

    expect([member.statusCode, admin.statusCode]).toEqual([403, 201])
    expect(member.json().error.message).toContain('priority:high')
    expect((await post(app, urgent, {}, '/v2/tasks/preflight')).statusCode).toBe(403)
  })
})

describe('a request that is sent twice', () => {
  test.each([
    ['the header', { 'idempotency-key': 'k-1' }, {}],
    ['the header in quotes', { 'idempotency-key': '"k 1"' }, {}],
    ['client_token', {}, { client_token: 'k-1' }],
    ['both', { 'idempotency-key': 'k-1' }, { client_token: 'k-1' }]
  ])('makes one task, with %s', async (_name, headers, more) => {
    const { app, service } = populated()

    const first = await post(app, { ...flat, ...more }, headers)
    const second = await post(app, { ...flat, ...more }, headers)

    expect([first.statusCode, second.statusCode]).toEqual([201, 201])
    expect(first.headers).not.toHaveProperty('idempotent-replayed')
    expect(second.headers).toMatchObject({ 'idempotent-replayed': 'true', location: first.headers.location })
    expect(second.json()).toEqual(first.json())
    expect(service.tasks.size).toBe(1)
  })

  test('with another body is 422', async () => {
    const { app } = populated()
    const headers = { 'idempotency-key': 'k-1' }
    await post(app, flat, headers)

    const answer = await post(app, { ...flat, export_format: 'raw' }, headers)

    expect(answer.statusCode).toBe(422)
    expect(answer.json().error).toMatchObject({ title: 'Unprocessable Entity', failure_code: 'IDEMPOTENCY_KEY_REUSED' })
  })

  test('keeps keys of projects and of paths apart, and takes versions of the path as one', async () => {
    const { app, service } = populated()
    const headers = { 'idempotency-key': 'k-1' }

    await post(app, flat, headers)
    await post(app, flat, headers, '/v2.9/tasks?x=1')
    expect(service.once).toMatchObject({ operation: 'POST /v2/tasks', key: 'k-1' })
    await post(app, flat, headers, `/v2/images/${IMAGE}/export`)
    await post(app, flat, { ...headers, ...token('demo', 'admin', 'bob') })

    expect(service.tasks.size).toBe(2)
  })

  test.each(['', ' ', '"', '""', 'a b', '"a"b', 'x'.repeat(256), `"${'x'.repeat(256)}"`, '"a";b=1', 'a, b'])(
    'is refused with the key %j',
    async (key) => {
      const answer = await post(populated().app, flat, { 'idempotency-key': key })

      expect(answer.statusCode).toBe(400)
      expect(answer.json().error.message).toContain('Idempotency-Key must have')
    }
  )

  test('is refused with two keys that differ', async () => {
    const answer = await post(populated().app, { ...flat, client_token: 'a' }, { 'idempotency-key': 'b' })

    expect(answer.statusCode).toBe(400)
    expect(answer.json().error.violations[0].pointer).toBe('/client_token')
  })

  test('is only told what would be, as often as it asks', async () => {
    const { app, service } = populated()
    const headers = { 'idempotency-key': 'k-1' }

    const dry = await post(app, { ...flat, dry_run: true }, headers)

    expect([dry.statusCode, service.once]).toEqual([200, undefined])
    expect((await post(app, flat, headers)).headers).not.toHaveProperty('idempotent-replayed')
  })
})
