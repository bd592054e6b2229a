import { describe, expect, test } from 'vitest'
import { imageId, ownerId } from '../../../src/domain/ids.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const ID = 'deadbeef-dead-dead-dead-beefbeefbeef'
const PATCH = 'application/openstack-images-v2.1-json-patch'
const member = token('demo')

function serviceWithImage(change: Parameters<MemoryService['addImage']>[0] = {}) {
  const service = new MemoryService()
  service.addImage({ id: imageId(ID), ...change })
  return { service, app: appOver(service) }
}

describe('POST /v2/images', () => {
  const post = (payload: object) =>
    appOver(new MemoryService()).inject({ method: 'POST', url: '/v2/images', headers: member, payload })

  test('makes an image with all of Glance’s fields and its custom properties beside them', async () => {
    const answer = await post({
      id: ID,
      name: 'web',
      disk_format: 'qcow2',
      container_format: 'bare',
      min_ram: 512,
      tags: ['a'],
      os_distro: 'debian'
    })

    expect(answer.statusCode).toBe(201)
    expect(answer.headers.location).toBe(`/v2/images/${ID}`)
    expect(answer.json()).toEqual({
      id: ID,
      name: 'web',
      status: 'queued',
      visibility: 'private',
      protected: false,
      tags: ['a'],
      disk_format: 'qcow2',
      container_format: 'bare',
      size: null,
      virtual_size: null,
      checksum: null,
      os_hash_algo: null,
      os_hash_value: null,
      min_disk: 0,
      min_ram: 512,
      owner: 'demo',
      created_at: '2026-11-22T06:50:40Z',
      updated_at: '2026-11-22T06:50:40Z',
      self: `/v2/images/${ID}`,
      file: `/v2/images/${ID}/file`,
      schema: '/v2/schemas/image',
      os_distro: 'debian'
    })
  })

  test('needs no field', async () => {
    expect((await post({})).json()).toMatchObject({ name: null, disk_format: null, container_format: null })
  })

  test.each([
    [{ disk_format: 'iso' }, 400, 'disk_format must be one of raw, qcow2'],
    [{ name: 5 }, 400, 'name must be a string or null, but is a number'],
    [{ min_ram: -1 }, 400, 'min_ram must be >= 0'],
    [{ min_ram: '1' }, 400, 'min_ram must be an integer, but is a string'],
    [{ visibility: 'shared' }, 400, 'visibility must be one of private, public'],
    [{ tags: ['a', 'a'] }, 400, 'tags'],
    [{ os_distro: 7 }, 400, 'os_distro must be a string'],
    [{ owner: 'other' }, 403, "'owner' is read-only"],
    [{ status: 'active' }, 403, "'status' is read-only"],
    [{ os_glance_x: 'y' }, 403, "'os_glance_x' is read-only"]
  ])('refuses %j', async (payload, status, text) => {
    const answer = await post(payload)

    expect(answer.statusCode).toBe(status)
    expect(answer.json().error.message).toContain(text)
  })

  test('answers 409 for an id that is taken', async () => {
    const { app } = serviceWithImage()

    const answer = await app.inject({ method: 'POST', url: '/v2/images', headers: member, payload: { id: ID } })

    expect(answer.json().error).toMatchObject({ code: 409, failure_code: 'IMAGE_EXISTS' })
  })
})

describe('PATCH /v2/images/{id}', () => {
  const patch = (operations: unknown, change = {}, contentType = PATCH) =>
    serviceWithImage({ properties: { os_distro: 'debian', 'a/b': '1' }, ...change }).app.inject({
      method: 'PATCH',
      url: `/v2/images/${ID}`,
      headers: { ...member, 'content-type': contentType },
      payload: JSON.stringify(operations)
    })

  test('adds, replaces and removes properties', async () => {
    const answer = await patch([
      { op: 'replace', path: '/name', value: 'new' },
      { op: 'add', path: '/os_version', value: '13' },
      { op: 'replace', path: '/os_distro', value: 'devuan' },
      { op: 'remove', path: '/a~1b' },
      { op: 'replace', path: '/tags', value: ['x'] },
      { op: 'replace', path: '/protected', value: true }
    ])

    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toMatchObject({
      name: 'new',
      os_version: '13',
      os_distro: 'devuan',
      tags: ['x'],
      protected: true
    })
    expect(answer.json()).not.toHaveProperty('a/b')
  })

  test.each([
    [[{ op: 'remove', path: '/nope' }], 409, 'Property nope does not exist'],
    [[{ op: 'replace', path: '/nope', value: 'x' }], 409, 'Property nope does not exist'],
    [[{ op: 'remove', path: '/name' }], 403, 'may not be removed'],
    [[{ op: 'replace', path: '/size', value: 1 }], 403, 'read-only'],
    [[{ op: 'add', path: '/__proto__', value: 'x' }], 403, 'read-only'],
    [[{ op: 'add', path: '/x', value: 1 }], 400, 'x must be a string'],
    [[{ op: 'add', path: '/x' }], 400, 'x must be a string'],
    [[{ op: 'replace', path: '/min_ram', value: 'many' }], 400, 'min_ram must be an integer'],
    [[{ op: 'test', path: '/name', value: 'x' }], 400, '0.op must be one of add, replace, remove'],
    [[{ op: 'add', path: '/tags/0', value: 'x' }], 400, '0.path must be the path of one property'],
    [{ op: 'add' }, 400, 'must be an array']
  ])('refuses %j', async (operations, status, text) => {
    const answer = await patch(operations)

    expect(answer.statusCode).toBe(status)
    expect(answer.json().error.message).toContain(text)
  })

  test('takes its own media type only, and names it', async () => {
    const answer = await patch([], {}, 'application/json')

    expect(answer.statusCode).toBe(415)
    expect(answer.headers['accept-patch']).toBe(PATCH)
  })
})

describe('DELETE /v2/images/{id}', () => {
  const remove = (app: ReturnType<typeof appOver>, id: string = ID) =>
    app.inject({
      method: 'DELETE',
      url: `/v2/images/${id}`,
      headers: { ...member, 'content-type': 'application/octet-stream' } // as python-glanceclient says, without a body
    })

  test('deletes', async () => {
    const { app, service } = serviceWithImage()

    const answer = await remove(app)

    expect([answer.statusCode, answer.body, service.images.size]).toEqual([204, '', 0])
  })

  test('is 409 while tasks need the image, and names them', async () => {
    const { app, service } = serviceWithImage()
    const { id } = service.addTask()

    const { error } = (await remove(app)).json()

    expect(error).toMatchObject({ code: 409, failure_code: 'IMAGE_IN_USE', tasks: [id] })
  })

  test('is 403 for a protected image and 404 for one that cannot be seen', async () => {
    const { app, service } = serviceWithImage({ protected: true })
    const foreign = service.addImage({ owner: ownerId('other') })

    expect((await remove(app)).json().error).toMatchObject({ code: 403, failure_code: 'IMAGE_PROTECTED' })
    expect((await remove(app, foreign.id)).json().error).toMatchObject({ code: 404, failure_code: 'IMAGE_NOT_FOUND' })
    expect((await remove(app, 'nope')).statusCode).toBe(404)
  })
})

describe('GET /v2/images/{id}/file', () => {
  const bytes = Buffer.from(Array.from({ length: 200_000 }, (_none, at) => at % 251))
  const download = (range?: string) => {
    const { app, service } = serviceWithImage()
    service.store(imageId(ID), bytes)
    return app.inject({ url: `/v2/images/${ID}/file`, headers: { ...member, ...(range && { range }) } })
  }

  test('sends the bytes with length and MD5, whatever becomes of the buffers they were read into', async () => {
    const answer = await download()

    expect(answer.statusCode).toBe(200)
    expect(answer.rawPayload.equals(bytes)).toBe(true)
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '200000',
      'content-md5': expect.stringMatching(/^[0-9a-f]{32}$/)
    })
  })

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=70000-140000', 70_000, 140_001],
    ['bytes=199999-', 199_999, 200_000],
    ['bytes=150000-999999999', 150_000, 200_000],
    ['bytes=-5', 199_995, 200_000],
    ['bytes=-999999999', 0, 200_000]
  ])('sends the range %s', async (range, from, to) => {
    const answer = await download(range)

    expect(answer.statusCode).toBe(206)
    expect(answer.rawPayload.equals(bytes.subarray(from, to))).toBe(true)
    expect(answer.headers['content-range']).toBe(`bytes ${from}-${to - 1}/200000`)
  })

  test.each([
    ['bytes=200000-', 416],
    ['bytes=5-1', 416],
    ['bytes=-0', 416],
    ['bytes=-', 416],
    ['bytes=x', 416],
    ['items=0-1', 416],
    ['bytes=0-1,3-4', 400]
  ])('refuses the range %s', async (range, status) => {
    const answer = await download(range)

    expect(answer.statusCode).toBe(status)
    if (status === 416) expect(answer.headers['content-range']).toBe('bytes */200000')
  })

  test('is 204 while there is no data', async () => {
    const { app } = serviceWithImage()

    const answer = await app.inject({ url: `/v2/images/${ID}/file`, headers: member })

    expect([answer.statusCode, answer.body]).toEqual([204, ''])
  })
})
