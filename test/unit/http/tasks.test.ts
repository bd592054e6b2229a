import { describe, expect, test } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { NO_LABELS, NO_PROGRESS } from '../../../src/domain/task.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const IMAGE = 'deadbeef-dead-dead-dead-beefbeefbeef'
const TASK = '43215678-4321-4321-4321-432156789abc'
const TO = 'https://store.example.com/mycontainer/path'
const member = token('demo')
const flat = { task_type: 'export', image_uuid: IMAGE, export_to: TO, export_format: 'qcow2' }
const credentials = { kind: 'bearer', token: 's3cr3t-CANARY' }

function serviceWithImage() {
  const service = new MemoryService()
  service.addImage({ id: imageId(IMAGE), status: 'active' })
  return { service, app: appOver(service) }
}

describe('POST /v2/tasks', () => {
  test("answers the specification's request with 201, Location and the task in both vocabularies", async () => {
    const { app, service } = serviceWithImage()
    const payload = { ...flat, export_to_credentials: credentials }

    const answer = await app.inject({ method: 'POST', url: '/v2/tasks', headers: member, payload })

    const [task] = [...service.tasks.values()]
    expect(answer.statusCode).toBe(201)
    expect(answer.headers.location).toBe(`/v2/tasks/${task?.id}`)
    expect(answer.json()).toEqual({
      id: task?.id,
      type: 'export',
      status: 'pending',
      owner: 'demo',
      input: { image_uuid: IMAGE, export_to: TO, export_format: 'qcow2' },
      result: null,
      message: '',
      created_at: expect.stringMatching(/^2026-11-22T\d\d:\d\d:\d\dZ$/),
      updated_at: expect.stringMatching(/^2026-11-22T\d\d:\d\d:\d\dZ$/),
      self: `/v2/tasks/${task?.id}`,
      schema: '/v2/schemas/task',
      image_id: IMAGE,
      request_id: answer.headers['x-openstack-request-id'],
      user_id: 'alice',
      task_type: 'export',
      task_status: 'queued',
      image_uuid: IMAGE,
      export_to: TO,
      export_format: 'qcow2',
      description: '',
      tags: [],
      metadata: {},
      priority: 'normal',
      phase: 'accepted',
      progress: null,
      queue: null,
      scrub_report: null,
      failure: null,
      warnings: [],
      cleanup: null,
      attempt: 0,
      credentials: { kind: 'bearer', fingerprint: '0123456789ab', state: 'sealed' }
    })
    expect(service.asked).toMatchObject({ credentials })
  })

  test.each([
    ['image_uuid', { image_uuid: IMAGE }],
    ['image_id', { image_id: IMAGE }]
  ])("takes Glance's form with input.%s", async (_name, image) => {
    const { app, service } = serviceWithImage()
    const payload = { type: 'export', input: { ...image, export_to: TO, export_format: 'raw' } }

    const answer = await app.inject({ method: 'POST', url: '/v2/tasks', headers: member, payload })

    expect(answer.statusCode).toBe(201)
    expect(service.asked).toEqual({
      imageId: IMAGE,
      exportTo: TO,
      exportFormat: 'raw',
      formatOptions: {},
      options: NO_OPTIONS,
      labels: NO_LABELS
    })
  })

  test.each(['application/octet-stream', 'text/plain', 'application/json; charset=utf-8', 'no/such'])(
    'reads JSON under the Content-Type %s',
    async (type) => {
      const { app } = serviceWithImage()
      const headers = { ...member, 'content-type': type }

      const answer = await app.inject({ method: 'POST', url: '/v2/tasks', headers, payload: JSON.stringify(flat) })

      expect(answer.statusCode).toBe(201)
    }
  )

  test('reads JSON without a Content-Type', async () => {
    const { app } = serviceWithImage()
    const payload = Buffer.from(JSON.stringify(flat))

    const answer = await app.inject({ method: 'POST', url: '/v2/tasks', headers: member, payload })

    expect(answer.statusCode).toBe(201)
  })

  test.each([
    [{}, ['task_type is required', 'image_uuid is required', 'export_format is required']],
    [{ ...flat, color: 'red', size: 1 }, ['color is not a known field', 'size is not a known field']],
    [{ ...flat, image_uuid: 7 }, ['image_uuid must be a string, but is a number']],
    [{ ...flat, image_uuid: 'x' }, ['image_uuid must be a UUID in lower case, with hyphens']],
    [{ ...flat, export_to: ['a'] }, ['export_to must be a string, but is an array']],
    [{ ...flat, export_format: 'vdi' }, ['export_format must be one of raw, qcow2']],
    [{ ...flat, task_type: 'import' }, ['task_type must be export']],
    [{ ...flat, export_to_credentials: { kind: 'magic' } }, ['export_to_credentials.kind must be one of']],
    [{ ...flat, export_to_credentials: { kind: 'bearer' } }, ['export_to_credentials.token is required']],
    [{ ...flat, export_to_credentials: 'a:b' }, ['export_to_credentials must be an object, but is a string']],
    [{ type: 'export' }, ['input is required']],
    [
      { type: 'export', input: {} },
      ['input.export_format is required', 'input needs exactly one of image_uuid, image_id']
    ],
    [
      { ...flat, type: 'export', input: {} },
      ['type belongs to another form of this request', 'input belongs to another form of this request']
    ],
    [[], ['The body must be an object, but is an array']],
    ['export', ['The body must be an object, but is a string']]
  ])('names everything that is wrong with %j', async (payload, texts) => {
    const { app } = serviceWithImage()

    const answer = await app.inject({
      method: 'POST',
      url: '/v2/tasks',
      headers: { ...member, 'content-type': 'application/json' },
      payload: JSON.stringify(payload)
    })

    expect(answer.statusCode).toBe(400)
    for (const text of texts) expect(answer.json().error.message).toContain(text)
    expect(answer.json().error.violations.length).toBeGreaterThanOrEqual(texts.length)
  })

  test.each([
    ['no body', ''],
    ['null', 'null']
  ])('asks for a body when there is %s', async (_name, payload) => {
    const { app } = serviceWithImage()

    const answer = await app.inject({ method: 'POST', url: '/v2/tasks', headers: member, payload })

    expect(answer.json()).toEqual({ error: { code: 400, title: 'Bad Request', message: 'Body expected in request.' } })
  })

  test('never repeats a value of credentials', async () => {
    const { app } = serviceWithImage()
    const wrong = [
      { kind: 'CANARY-kind' },
      { kind: 'bearer', token: { deep: 'CANARY-deep' } },
      { kind: 'basic', username: 'CANARY-user', password: ['CANARY-list'], extra: 'CANARY-extra' },
      { kind: 'bearer', token: 'CANARY'.repeat(2000) },
      'CANARY-text'
    ]
    for (const export_to_credentials of wrong) {
      const payload = { ...flat, export_to_credentials }
      const answer = await app.inject({ method: 'POST', url: '/v2/tasks', headers: member, payload })
      expect(answer.statusCode).toBe(400)
      expect(answer.body).not.toContain('CANARY')
    }
  })

  test('says which field a refusal of the use case is about', async () => {
    const { app } = serviceWithImage()
    const payload = { ...flat, export_to: 'gopher://example.com/x' }

    const { error } = (await app.inject({ method: 'POST', url: '/v2/tasks', headers: member, payload })).json()

    expect(error).toMatchObject({ code: 400, failure_code: 'DEST_SCHEME_DISABLED' })
    expect(error.violations).toEqual([{ pointer: '/export_to', message: error.message }])
  })

  test('answers 404 for an unknown image and 409 for one without data', async () => {
    const { app, service } = serviceWithImage()
    const queued = service.addImage()
    const post = (image_uuid: string) =>
      app.inject({ method: 'POST', url: '/v2/tasks', headers: member, payload: { ...flat, image_uuid } })

    const unknown = await post(TASK)
    const empty = await post(queued.id)

    expect(unknown.json().error).toMatchObject({ code: 404, failure_code: 'IMAGE_NOT_FOUND' })
    expect(empty.json().error).toMatchObject({ code: 409, failure_code: 'IMAGE_NOT_ACTIVE' })
  })
})

describe('POST /v2/images/{id}/export', () => {
  const post = (app: ReturnType<typeof appOver>, payload: object, image = IMAGE) =>
    app.inject({ method: 'POST', url: `/v2/images/${image}/export`, headers: member, payload })

  test('makes the same task, with or without the fields that the path implies', async () => {
    const { app, service } = serviceWithImage()

    const short = await post(app, { export_to: TO, export_format: 'qcow2' })
    const long = await post(app, flat)

    expect([short.statusCode, long.statusCode]).toEqual([201, 201])
    expect(short.json()).toMatchObject({ task_type: 'export', image_uuid: IMAGE })
    expect(service.asked).toEqual({
      imageId: IMAGE,
      exportTo: TO,
      exportFormat: 'qcow2',
      formatOptions: {},
      options: NO_OPTIONS,
      labels: NO_LABELS
    })
  })

  test('refuses a body about another image', async () => {
    const { app } = serviceWithImage()

    const answer = await post(app, { ...flat, image_uuid: TASK })

    expect(answer.json().error).toMatchObject({ code: 400, violations: [{ pointer: '/image_uuid' }] })
  })

  test('answers 404 for what is no image id', async () => {
    const { app } = serviceWithImage()

    const answer = await post(app, { export_to: TO, export_format: 'raw' }, 'nope')

    expect(answer.json().error).toMatchObject({ code: 404, failure_code: 'IMAGE_NOT_FOUND' })
  })
})

describe('GET /v2/tasks/{id}', () => {
  const show = async (change: Parameters<MemoryService['addTask']>[0]) => {
    const service = new MemoryService()
    const { id } = service.addTask({ id: taskId(TASK), ...change })
    return (await appOver(service).inject({ url: `/v2/tasks/${id}`, headers: member })).json()
  }

  test.each([
    ['queued', 'pending', 'accepted'],
    ['processing', 'processing', 'processing'],
    ['transferring', 'processing', 'transferring']
  ] as const)('shows %s as %s to clients of Glance', async (task_status, status, phase) => {
    const task = await show({ status: task_status })

    expect(task).toMatchObject({ task_status, status, phase, result: null, message: '' })
    expect(task).not.toHaveProperty('expires_at')
    expect(task).not.toHaveProperty('export_location')
  })

  test('shows how far a transfer is', async () => {
    const task = await show({
      status: 'transferring',
      progress: { ...NO_PROGRESS, total: 3000, sent: 1000, percent: 33.33 }
    })

    expect(task.progress).toMatchObject({ bytes_total: 3000, bytes_sent: 1000, percent: 33.3 })
  })

  test('shows a waiting retry', async () => {
    expect(await show({ attempts: 2 })).toMatchObject({ task_status: 'queued', phase: 'waiting_retry' })
  })

  test('shows a success with its location, as in the specification', async () => {
    const location = `${TO}/12345678-abcd-abcd-abcd-987654321abc`
    const task = await show({
      status: 'success',
      expiresAt: new Date('2026-11-24T07:10:02.987Z'),
      result: { location, bytes: 10, virtualSize: 20, sha256: 'ab', composite: null, parts: 1, durationSeconds: 1.5 },
      credentials: { kind: 's3_static', fingerprint: 'AKIA…4F2Q', state: 'purged' }
    })

    expect(task).toMatchObject({
      status: 'success',
      task_status: 'success',
      image_uuid: IMAGE,
      export_location: location,
      export_format: 'qcow2',
      expires_at: '2026-11-24T07:10:02Z',
      message: '',
      result: {
        export_location: location,
        bytes: 10,
        virtual_size: 20,
        checksums: { sha256: 'ab' },
        parts: 1,
        duration_seconds: 1.5
      },
      credentials: { kind: 's3_static', fingerprint: 'AKIA…4F2Q', state: 'purged' }
    })
  })

  test('shows a failure with a message for people and a code for programs', async () => {
    const failure = {
      code: 'DEST_FORBIDDEN',
      actor: 'user',
      retriable: false,
      phase: 'transferring',
      attempts: 1
    } as const
    const task = await show({
      status: 'failure',
      message: 'store.example.com refused',
      failure,
      expiresAt: new Date(0)
    })

    expect(task).toMatchObject({
      status: 'failure',
      task_status: 'failure',
      phase: 'transferring',
      result: null,
      failure
    })
    expect(task.message).toBe('store.example.com refused')
    expect(task).not.toHaveProperty('export_location')
  })

  test('answers unknown, malformed, upper-case and other projects’ ids alike', async () => {
    const service = new MemoryService()
    const foreign = service.addTask({ owner: ownerId('other') })
    const mine = service.addTask()
    const app = appOver(service)
    const ids = ['11111111-1111-4111-8111-111111111111', 'nope', mine.id.toUpperCase(), foreign.id]

    for (const id of ids) {
      const { error } = (await app.inject({ url: `/v2/tasks/${id}`, headers: member })).json()
      expect(error).toEqual({
        code: 404,
        title: 'Not Found',
        message: `Could not find task ${id}`,
        failure_code: 'TASK_NOT_FOUND'
      })
    }
    expect((await app.inject({ url: `/v2/tasks/${foreign.id}`, headers: token('demo', 'admin') })).statusCode).toBe(200)
  })
})
