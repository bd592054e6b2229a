import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contract, headerOf, rows, UNKNOWN, UUID } from './contract.ts'
import { TOKEN, type WholeService, wholeService } from './whole-service.ts'

let service: WholeService
beforeAll(async () => {
  service = await wholeService()
})
afterAll(() => service[Symbol.asyncDispose]())

const { ask, holds } = contract(() => service.url)

describe('routes', () => {
  const task = `/v2/tasks/${UNKNOWN}`
  const allow = { allow: /^GET, POST$/ }
  const allowOfOne = { allow: /\bGET\b/ }

  it.each(
    rows(
      { path: '/v2/tasks', status: 200, shows: { schema: '/v2/schemas/tasks' } },
      { path: '/v2/tasks/', status: 404 },
      { path: `${task}/`, status: 404 },
      { path: '/v2.0/tasks', status: 200, shows: { tasks: [] } },
      { path: '/v2.2/tasks', status: 200, shows: { tasks: [] } },
      { path: '/v2.15/tasks', status: 200, shows: { tasks: [] } },
      { path: '/v2.16/tasks', status: 404 },
      { path: '/tasks', headers: { Accept: 'application/vnd.openstack.images-v2' }, status: 200, shows: { tasks: [] } },
      { path: '/tasks', status: 404 },
      { path: '/v1/tasks', status: 404 },
      { path: '/v3/tasks', status: 404 },
      ...['PUT', 'PATCH', 'DELETE', 'HEAD', 'PURGE'].map((method) => ({
        method,
        path: '/v2/tasks',
        status: 405,
        answered: allow
      })),
      ...['PUT', 'DELETE', 'POST', 'HEAD'].map((method) => ({ method, path: task, status: 405, answered: allowOfOne })),
      { method: 'DELETE', path: '/v2/tasks/no-uuid', status: 405, answered: allowOfOne },
      { method: 'OPTIONS', path: '/v2/tasks', status: 200, shows: '', answered: allow },
      { method: 'OPTIONS', path: task, status: 200, shows: '', answered: allowOfOne },
      { method: 'POST', path: '/v2/schemas/task', status: 405, answered: { allow: /^GET$/ } },
      { path: `/v2/images/${UNKNOWN}/tasks`, status: 404 }
    )
  )('%s', (_name, row) => holds(row))
})

describe('discovery and health', () => {
  const anyone = { token: null }
  const json = { 'content-type': /^application\/json/ }

  it.each(
    rows(
      { ...anyone, path: '/', status: 300, answered: json },
      { ...anyone, path: '/versions', status: 200, answered: json },
      { ...anyone, path: '/versions/', status: 200, answered: json },
      { ...anyone, path: '/v2', status: 302, answered: { location: /^\/v2\/$/ } },
      { ...anyone, path: '/v2/', status: 401 },
      { path: '/v2/', status: 404 },
      { ...anyone, path: '/healthcheck', status: 200, shows: 'OK', answered: { 'content-type': /^text\/plain/ } },
      {
        ...anyone,
        path: '/healthcheck',
        name: 'GET /healthcheck as JSON',
        headers: { Accept: 'application/json' },
        status: 200,
        shows: { detailed: false, reasons: ['OK'] },
        answered: json
      },
      { ...anyone, method: 'HEAD', path: '/healthcheck', status: 204 }
    )
  )('%s', (_name, row) => holds(row))

  it('names one current version, and the same place for all of them', async () => {
    const [root, versions] = await Promise.all(['/', '/versions'].map((path) => ask({ path, token: null })))

    expect(versions?.body).toBe(root?.body)
    const { versions: listed } = JSON.parse(versions?.body ?? '') as { versions: { id: string; status: string }[] }
    expect(listed.map(({ status }) => status)).toEqual(['CURRENT', ...Array(listed.length - 1).fill('SUPPORTED')])
    expect(listed.every(({ id }) => /^v2\.\d+$/.test(id))).toBe(true)
    const self = { rel: 'self', href: `${service.url}/v2/` }
    expect(listed).toEqual(listed.map((one) => ({ ...one, links: [self] })))
  })
})

describe('identity', () => {
  const keystone = { 'www-authenticate': /^Keystone uri="http[^"]+"$/ }
  const confirmed = { 'X-Identity-Status': 'Confirmed', 'X-User-Id': 'a', 'X-Project-Id': 'demo', 'X-Roles': 'admin' }
  const path = '/v2/tasks'
  const refused = {
    path,
    token: null,
    status: 401,
    answered: keystone,
    message: /could not verify that you are authorized/
  }

  it.each(
    rows(
      { ...refused, name: 'no token' },
      { ...refused, name: 'a token that is none', token: 'nobody' },
      { ...refused, name: 'an unknown path', path: '/v2/nosuch' },
      { ...refused, name: 'identity headers from outside', headers: confirmed },
      { ...refused, name: 'a bearer token', headers: { Authorization: `Bearer ${TOKEN}` } },
      { name: 'the older name of the header', path, token: null, headers: { 'X-Storage-Token': TOKEN }, status: 200 },
      { name: 'a percent-encoded token', path, token: 'alice%3Ademo%3Amember', status: 200 },
      {
        name: 'a role that may nothing, tasks',
        path,
        token: 'a:demo:nobody',
        status: 403,
        message: /not authorized to complete/
      },
      { name: 'a role that may nothing, schemas', path: '/v2/schemas/task', token: 'a:demo:nobody', status: 200 },
      { name: 'a reader, to read', path, token: 'a:demo:reader', status: 200 },
      {
        name: 'a reader, to create, with a body that is none',
        method: 'POST',
        path,
        token: 'a:demo:reader',
        body: '{',
        status: 403,
        message: /not authorized to complete/
      }
    )
  )('%s', (_name, row) => holds(row))
})

describe('request ids', () => {
  const idOf = async (given?: string) => {
    const headers = given === undefined ? {} : { 'X-Openstack-Request-Id': given }
    return headerOf((await ask({ path: '/v2/tasks', headers })).headers, 'x-openstack-request-id')
  }

  it('are new ones, and those of the client where they are plain', async () => {
    expect(await idOf()).toMatch(new RegExp(`^req-${UUID.source.slice(1)}`))
    expect(await idOf('req-abc-123')).toBe('req-abc-123')
    expect(await idOf('abc-123')).toBe('req-abc-123')
  })

  it.each(['a'.repeat(65), 'a b', 'a;b', 'req-ü'])('are not taken from %j', async (given) => {
    expect(await idOf(Buffer.from(given).toString('latin1'))).toMatch(new RegExp(`^req-${UUID.source.slice(1)}`))
  })
})
