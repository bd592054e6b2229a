import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { appOver, MemoryService, token } from './memory-service.ts'

const member = token('demo')
const app = appOver(new MemoryService())

describe('discovery', () => {
  test('GET / and /versions list versions, with links from the public URL and not from the Host header', async () => {
    const root = await app.inject({ url: '/', headers: { host: 'evil.example.net' } })
    const versions = await app.inject({ url: '/versions' })

    expect([root.statusCode, versions.statusCode]).toEqual([300, 200])
    expect(root.json()).toEqual(versions.json())
    const listed: { status: string; links: { href: string }[] }[] = root.json().versions
    expect(listed.filter(({ status }) => status === 'CURRENT')).toHaveLength(1)
    expect(new Set(listed.map(({ links }) => links[0]?.href))).toEqual(new Set(['http://images.example.com:9292/v2/']))
  })

  test.each([
    ['http://images.example.com:9292', '/'],
    ['https://cloud.example.com/exports', '/exports']
  ])('the API at %s is described as being below %s', async (url, path) => {
    const at = appOver(new MemoryService(), { publicUrl: () => url })

    expect((await at.inject({ url: '/openapi.json' })).json().servers[0].url).toBe(path)
  })

  test.each(['/v2.0/tasks', '/v2.9/tasks', '/v2.15/tasks?limit=1'])('%s is /v2/tasks', async (url) => {
    expect((await app.inject({ url, headers: member })).json()).toHaveProperty('tasks')
  })

  test.each(['/v2.16/tasks', '/v3/tasks', '/v1/tasks', '/v2', '/v2/'])('%s is no list of tasks', async (url) => {
    const { statusCode } = await app.inject({ url, headers: member })
    expect(statusCode).toBe(url === '/v2' ? 302 : 404)
  })

  test.each(['task', 'tasks', 'image', 'images'])(
    '/v2/schemas/%s is in the dialect that clients can read',
    async (name) => {
      const { body } = await app.inject({ url: `/v2/schemas/${name}`, headers: member })

      expect(JSON.parse(body).name).toBe(name)
      expect(body).not.toContain('"required"')
      expect(body).not.toMatch(/"additionalProperties":(true|false)/)
    }
  )

  test('the schema of task lets clients send type export', async () => {
    const { properties } = (await app.inject({ url: '/v2/schemas/task', headers: member })).json()

    expect(properties.type.enum).toContain('export')
    expect(properties.status.enum).toEqual(['pending', 'processing', 'success', 'failure'])
  })
})

describe('health', () => {
  test('/healthcheck speaks as Glance does', async () => {
    const json = await app.inject({ url: '/healthcheck', headers: { accept: 'application/json' } })
    const text = await app.inject({ url: '/healthcheck' })

    expect(text.body).toBe('OK')
    expect(json.json()).toEqual({ detailed: false, reasons: ['OK'] })
    expect((await app.inject({ method: 'HEAD', url: '/healthcheck' })).statusCode).toBe(204)
  })

  test('/readyz says what is missing', async () => {
    const health = { ready: async () => ({ ok: false, reasons: ['database'] }) }

    const answer = await appOver(new MemoryService(), { health }).inject({ url: '/readyz' })

    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toEqual({ ready: false, reasons: ['database'] })
  })
})

describe('methods', () => {
  const id = '11111111-1111-4111-8111-111111111111'

  test.each([
    ['DELETE', '/v2/tasks', 'GET, POST'],
    ['PATCH', '/v2/tasks', 'GET, POST'],
    ['HEAD', '/v2/tasks', 'GET, POST'],
    ['DELETE', `/v2/tasks/${id}`, 'GET, PATCH'],
    ['PUT', `/v2/tasks/${id}`, 'GET, PATCH'],
    ['POST', '/v2/schemas/task', 'GET'],
    ['HEAD', `/v2/images/${id}/file`, 'GET, PUT']
  ] as const)('%s %s is 405 and says what is allowed', async (method, url, allow) => {
    const answer = await app.inject({ method, url, headers: member })

    expect(answer.statusCode).toBe(405)
    expect(answer.headers.allow).toBe(allow)
  })

  test('OPTIONS is 200, empty and needs no token', async () => {
    const answer = await app.inject({ method: 'OPTIONS', url: '/v2/tasks' })

    expect([answer.statusCode, answer.headers.allow, answer.body]).toEqual([200, 'GET, POST', ''])
  })

  test.each(['/v2/tasks/', `/v2/tasks/${id}/`, '/v2/images/', '/v2%2ftasks', '/V2/tasks'])('%s is 404', async (url) => {
    expect((await app.inject({ url, headers: member })).statusCode).toBe(404)
  })
})

describe('every answer', () => {
  test.each([
    ['req-abc-1', 'req-abc-1'],
    ['abc', 'req-abc']
  ])('follows the request id %s', async (given, expected) => {
    const answer = await app.inject({ url: '/', headers: { 'x-openstack-request-id': given } })

    expect(answer.headers['x-openstack-request-id']).toBe(expected)
  })

  test.each(['a b', 'x'.repeat(61), 'é'])('makes an id instead of %j', async (given) => {
    const answer = await app.inject({ url: '/v2/nope', headers: { 'x-openstack-request-id': given } })

    expect(answer.headers['x-openstack-request-id']).toMatch(/^req-[0-9a-f-]{36}$/)
  })

  test('to an unexpected error is a 500 without a detail, and the detail is logged', async () => {
    const lines: string[] = []
    const logger = pino({ base: null }, { write: (line: string) => lines.push(line) })
    const tasks = {
      ...new MemoryService().taskUses,
      getTask: async () => {
        throw Object.assign(new Error('connection to 10.0.0.7 lost'), { code: 'E1', credentials: 'CANARY' })
      }
    }
    const url = '/v2/tasks/11111111-1111-4111-8111-111111111111?token=CANARY'
    const headers = { ...member, cookie: 'CANARY' }

    const answer = await appOver(new MemoryService(), { tasks, logger }).inject({ url, headers })

    expect(answer.statusCode).toBe(500)
    expect(answer.headers['x-openstack-request-id']).toMatch(/^req-/)
    expect(answer.json().error.message).toBe('The request could not be served.')
    expect(lines).toHaveLength(2)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ err: { message: 'connection to 10.0.0.7 lost', code: 'E1' } })
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ status: 500, method: 'GET', project: 'demo', user: 'alice' })
    expect(lines.join()).not.toContain('CANARY')
    expect(lines.join()).not.toContain('alice:demo')
  })
})
