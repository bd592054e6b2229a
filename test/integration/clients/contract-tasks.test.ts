import { randomUUID } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contract, expectError, type Row, rows, UNKNOWN, UUID } from './contract.ts'
import { type WholeService, wholeService } from './whole-service.ts'

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/

let service: WholeService
let image = ''
beforeAll(async () => {
  service = await wholeService()
  image = await service.client.upload(Buffer.alloc(1 << 20, 'disk'), 'raw')
})
afterAll(() => service[Symbol.asyncDispose]())

const { ask, holds } = contract(() => service.url)
const input = (change: object = {}) => ({
  image_uuid: image,
  export_to: service.place,
  export_format: 'qcow2',
  ...change
})
const create = (more: Partial<Row> = {}) =>
  ask({ method: 'POST', path: '/v2/tasks', body: JSON.stringify({ type: 'export', input: input() }), ...more })

describe('create', () => {
  it('answers 201 with the whole task and where it is', async () => {
    const { status, headers, body } = await create()
    const task = JSON.parse(body)

    expect(status).toBe(201)
    expect(headers.location).toBe(`/v2/tasks/${task.id}`)
    expect(headers['content-type']).toMatch(/^application\/json/)
    expect(task).toMatchObject({
      id: expect.stringMatching(UUID),
      type: 'export',
      status: 'pending',
      owner: 'demo',
      input: input(),
      result: null,
      message: '',
      created_at: expect.stringMatching(TIME),
      updated_at: task.created_at,
      self: `/v2/tasks/${task.id}`,
      schema: '/v2/schemas/task',
      image_id: image,
      request_id: headers['x-openstack-request-id'],
      user_id: 'alice',
      task_type: 'export',
      task_status: 'queued',
      image_uuid: image,
      export_to: service.place,
      export_format: 'qcow2'
    })
    expect(task).not.toHaveProperty('expires_at')
    expect(task).not.toHaveProperty('export_location')
    expect(JSON.parse((await ask({ path: task.self })).body)).toEqual({ ...task, queue: { position: 1, ahead: 0 } })
  })

  it('makes the same of the flat form', async () => {
    const flat = { task_type: 'export', ...input() }
    const made = JSON.parse((await create({ body: JSON.stringify(flat) })).body)

    expect(made).toMatchObject({ type: 'export', status: 'pending', input: input(), task_status: 'queued' })
  })

  it.each<[string, OutgoingHttpHeaders]>([
    ['application/octet-stream', { 'Content-Type': 'application/octet-stream' }],
    ['text/plain', { 'Content-Type': 'text/plain' }],
    ['none', {}],
    ['with a charset', { 'Content-Type': 'application/json; charset=utf-8' }],
    ['of a chunked body', { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }]
  ])('reads JSON whatever the Content-Type: %s', async (_name, headers) => {
    expect((await create({ headers })).status).toBe(201)
  })

  const post = (name: string, body: string | Buffer | undefined, message: RegExp): Row => ({
    name,
    method: 'POST',
    path: '/v2/tasks',
    ...(body !== undefined && { body }),
    status: 400,
    message
  })
  it.each(
    rows(
      post('malformed JSON', '{', /^Malformed JSON in request body\.$/),
      post('bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22]), /^Malformed JSON in request body\.$/),
      post('no body', undefined, /^Body expected in request\.$/),
      post('an empty body', '', /^Body expected in request\.$/),
      post('null', 'null', /^Body expected in request\.$/),
      post('a string', '"x"', /must be an object/),
      post('a number', '3', /must be an object/),
      post('a list', '[]', /must be an object/),
      post('an empty object', '{}', /type is required/),
      post('no input', '{"type":"export"}', /input is required/),
      post('no type', '{"input":{}}', /type is required/),
      post('another type', '{"type":"import","input":{}}', /type must be export/),
      post('an input that is no object', '{"type":"export","input":3}', /input must be an object/),
      post('a null input', '{"type":"export","input":null}', /input must be an object/),
      post('an unknown field', '{"type":"export","input":{},"colour":1}', /colour is not a known field/)
    )
  )('refuses %s', (_name, row) => holds(row))
})

describe('show', () => {
  it.each(['no-uuid', UNKNOWN])('does not find %s', async (id) => {
    const { body } = await ask({ path: `/v2/tasks/${id}` })

    await holds({ path: `/v2/tasks/${id}`, status: 404, message: /^Could not find task / })
    expect(JSON.parse(body).error.message).toBe(`Could not find task ${id}`)
  })

  it('does not find a task in capitals, nor one of another project, and says the same of each', async () => {
    const { id } = JSON.parse((await create()).body)
    const shouted = await ask({ path: `/v2/tasks/${id.toUpperCase()}` })
    const foreign = await ask({ path: `/v2/tasks/${id}`, token: 'bob:other:member' })
    const missing = await ask({ path: `/v2/tasks/${UNKNOWN}`, token: 'bob:other:member' })

    expect([shouted.status, foreign.status, missing.status]).toEqual([404, 404, 404])
    expect(foreign.body.replace(id, '')).toBe(missing.body.replace(UNKNOWN, ''))
    expect((await ask({ path: `/v2/tasks/${id}`, token: 'root:ops:admin' })).status).toBe(200)
  })
})

describe('schemas', () => {
  const schema = async (name: string) => JSON.parse((await ask({ path: `/v2/schemas/${name}` })).body)

  it('task has what a task shows, and nothing that clients fail on', async () => {
    const { name, properties, ...rest } = await schema('task')
    const shown = Object.keys(JSON.parse((await create()).body))

    expect([name, rest]).toEqual(['task', {}])
    expect(properties).toMatchObject({
      id: { pattern: expect.any(String) },
      type: { enum: ['export'] },
      status: { enum: ['pending', 'processing', 'success', 'failure'] },
      input: { type: ['null', 'object'] },
      result: { type: ['null', 'object'] },
      expires_at: { type: ['null', 'string'] },
      self: { readOnly: true },
      schema: { readOnly: true }
    })
    const glance =
      'id type status owner created_at updated_at self schema input result message image_id request_id user_id'
    expect(Object.keys(properties)).toEqual(expect.arrayContaining([...glance.split(' '), 'expires_at']))
    expect(shown).toEqual(expect.arrayContaining(glance.split(' ')))
  })

  it('tasks has the same without what a list leaves out', async () => {
    const { name, properties, links, ...rest } = await schema('tasks')
    const item = properties.tasks.items

    expect([name, rest, item.name]).toEqual(['tasks', {}, 'task'])
    expect(Object.keys(item.properties).filter((one) => /^(input|result|message)$/.test(one))).toEqual([])
    expect(properties.schema).toEqual({ type: 'string' })
    expect(links).toContainEqual({ rel: 'describedby', href: '{schema}' })
  })

  it('image is there: without it python-glanceclient falls back to its version 1', async () => {
    expect((await schema('image')).name).toBe('image')
  })
})

describe("an image's tasks", () => {
  it('are shown whole, to those who see the image', async () => {
    const { id } = JSON.parse((await create()).body)
    const path = `/v2/images/${image}/tasks`
    const { tasks } = JSON.parse((await ask({ path })).body)

    expect(tasks.find((task: { id: string }) => task.id === id)).toMatchObject({
      input: input(),
      result: null,
      message: ''
    })
    await holds({ path, token: 'bob:other:member', status: 404 })
  })

  it('are none of an image that was never exported', async () => {
    const id = randomUUID()
    await ask({ method: 'POST', path: '/v2/images', body: JSON.stringify({ id, name: 'new' }) })

    await holds({ path: `/v2/images/${id}/tasks`, status: 200, shows: { tasks: [] } })
  })
})

describe("tempest's tasks client", () => {
  const headers = { 'Content-Type': 'application/json', Accept: 'application/json', Connection: 'close' }

  it('gets 201 and 200, and closed connections', async () => {
    const made = await create({ headers })
    const listed = await ask({ path: '/v2/tasks', headers })
    const shown = await ask({ path: `/v2/tasks/${JSON.parse(made.body).id}`, headers })

    expect([made, listed, shown].map(({ status }) => status)).toEqual([201, 200, 200])
    expect([made, listed, shown].map((answer) => answer.headers.connection)).toEqual(Array(3).fill('close'))
  })

  it('gets 400 for a task of type import', async () => {
    const fake = { import_from: 'http://fakehost.com/image.qcow2', import_from_format: 'qcow2', image_properties: {} }
    const answer = await create({ headers, body: JSON.stringify({ type: 'import', input: fake }) })

    expect(answer.status).toBe(400)
    expectError(answer, /type must be export/)
  })
})

describe('once there is a worker', () => {
  const ended = async (exportTo: string) => {
    const body = JSON.stringify({ type: 'export', input: input({ export_to: exportTo }) })
    const { id } = JSON.parse((await create({ body })).body)
    await service.client.ended(id)
    return JSON.parse((await ask({ path: `/v2/tasks/${id}` })).body)
  }
  beforeAll(() => service.startWorker())

  it('a task that has succeeded says where the image is, and when the task goes', async () => {
    const task = await ended(service.place)

    expect(task).toMatchObject({
      status: 'success',
      task_status: 'success',
      message: '',
      expires_at: expect.stringMatching(TIME),
      result: { export_location: task.export_location }
    })
    expect(task.export_location).toMatch(new RegExp(`^${service.place}/[0-9a-f-]{36}$`))
  })

  it('a task that has failed says why', async () => {
    const task = await ended(service.refusal)

    expect(task).toMatchObject({
      status: 'failure',
      task_status: 'failure',
      message: expect.stringMatching(/\w/),
      expires_at: expect.stringMatching(TIME),
      result: null
    })
    expect(task).not.toHaveProperty('export_location')
    // openstacksdk makes a task again whose message is this one.
    expect(task.message).not.toContain("Error code: '396'")
  })
})
