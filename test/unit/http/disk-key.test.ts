import { beforeEach, describe, expect, test } from 'vitest'
import { imageId } from '../../../src/domain/ids.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const IMAGE = 'deadbeef-dead-dead-dead-beefbeefbeef'
const KEY = 'CANARY ü "$(x)" key'
const service = new MemoryService()
const app = appOver(service)
beforeEach(() => {
  service.tasks.clear()
  service.images.clear()
  service.addImage({ id: imageId(IMAGE), status: 'active' })
})

const fields = { image_uuid: IMAGE, export_to: 'https://store.example.com/place', export_format: 'raw' }
const ask = (method: 'GET' | 'POST', url: string, payload?: object) =>
  app.inject({ method, url, headers: token('demo'), ...(payload && { payload }) })

describe('scrub.disk_key', () => {
  const scrub = { profile: 'generalize', disk_key: KEY }

  test.each([
    ['/v2/tasks', { task_type: 'export', ...fields, scrub }],
    ['/v2/tasks', { type: 'export', input: { ...fields, scrub } }],
    [`/v2/images/${IMAGE}/export`, { ...fields, scrub }]
  ])('of a request to %s is sealed apart from the options, and shown nowhere', async (url, body) => {
    const created = await ask('POST', url, body)
    const { id } = created.json()
    const answers = [created, await ask('GET', `/v2/tasks/${id}`), await ask('GET', '/v2/tasks?detail=true')]

    expect(created.statusCode).toBe(201)
    expect(service.asked).toMatchObject({ diskKey: KEY, options: { scrub: { profile: 'generalize' } } })
    expect(service.tasks.get(id)?.request.options.scrub).toEqual({ profile: 'generalize', keyed: true })
    expect(created.json()).toMatchObject({ scrub: { profile: 'generalize' } })
    for (const { body: text } of answers) expect(text).not.toMatch(/CANARY|disk_key|keyed/)
  })

  test.each([
    ['with a control character', { profile: 'generalize', disk_key: `${KEY}\n` }],
    ['that is empty', { profile: 'generalize', disk_key: '' }],
    ['that is too long', { profile: 'generalize', disk_key: KEY.repeat(30) }],
    ['that is no text', { profile: 'generalize', disk_key: [KEY] }],
    ['for what opens no disk', { profile: 'metadata', disk_key: KEY }],
    ['that is said to have come', { profile: 'generalize', keyed: true }]
  ])('%s is refused without being repeated', async (_what, scrub) => {
    const answer = await ask('POST', '/v2/tasks', { task_type: 'export', ...fields, scrub })

    expect(answer.statusCode).toBe(400)
    expect(answer.json().error.violations).toHaveLength(1)
    expect(answer.body).not.toContain('CANARY')
    expect(service.tasks.size).toBe(0)
  })

  test('is described as written only: in requests, and not in answers', async () => {
    const document = (await ask('GET', '/openapi.json')).json()
    const { Task } = document.components.schemas

    const found = diskKeysIn(document)
    expect(found.length).toBeGreaterThan(3)
    expect(found.filter(({ writeOnly }) => writeOnly !== true)).toEqual([])
    expect(JSON.stringify(Task)).toContain('on_unrecognized_os')
    expect(JSON.stringify(Task)).not.toContain('disk_key')
  })
})

/** The schemas of every `disk_key` in a document. */
const diskKeysIn = (value: unknown): { readonly writeOnly?: boolean }[] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([name, inner]) => [...(name === 'disk_key' ? [inner] : []), ...diskKeysIn(inner)])
    : []
