import { describe, expect, test } from 'vitest'
import { devIdentity, trustedHeadersIdentity } from '../../../src/http/identity.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

describe('dev tokens', () => {
  test('name user, project and roles, also percent-encoded as python-glanceclient sends them', () => {
    const viewer = { owner: 'demo', userId: 'alice', roles: ['member', 'reader'], admin: false }

    expect(devIdentity.identify({ 'x-auth-token': 'alice:demo:member,reader' })).toEqual(viewer)
    expect(devIdentity.identify({ 'x-auth-token': 'alice%3Ademo%3AMember%2Creader' })).toEqual(viewer)
    expect(devIdentity.identify({ 'x-auth-token': 'root:ops:admin' })).toMatchObject({ admin: true })
  })

  test.each([
    '',
    'nope',
    'a:b',
    'a:b:',
    ':b:member',
    'a::member',
    'a:none:member',
    'a:b:member:c',
    'a:b:m%',
    'a b:c:member',
    'a:b:m%0d%0aX: y'
  ])('do not take %j', (text) => {
    expect(devIdentity.identify({ 'x-auth-token': text })).toBeUndefined()
  })
})

describe('trusted headers', () => {
  const confirmed = {
    'x-identity-status': 'Confirmed',
    'x-user-id': 'u1',
    'x-project-id': 'p1',
    'x-roles': 'Member, reader'
  }

  test('are believed when the proxy confirmed them', () => {
    const viewer = { owner: 'p1', userId: 'u1', roles: ['member', 'reader'], admin: false }

    expect(trustedHeadersIdentity.identify(confirmed)).toEqual(viewer)
  })

  test.each([
    { 'x-identity-status': 'Invalid' },
    { 'x-identity-status': undefined },
    { 'x-user-id': undefined },
    { 'x-project-id': '' },
    { 'x-roles': undefined }
  ])('are not believed with %j', (change) => {
    expect(trustedHeadersIdentity.identify({ ...confirmed, ...change })).toBeUndefined()
  })
})

describe('access', () => {
  const id = '11111111-1111-4111-8111-111111111111'
  const routes = [
    { method: 'GET', url: '/v2/tasks', needs: 'read' },
    { method: 'GET', url: `/v2/tasks/${id}`, needs: 'read' },
    { method: 'POST', url: '/v2/tasks', needs: 'write' },
    { method: 'POST', url: `/v2/images/${id}/export`, needs: 'write' },
    { method: 'GET', url: '/v2/images', needs: 'read' },
    { method: 'GET', url: `/v2/images/${id}`, needs: 'read' },
    { method: 'GET', url: `/v2/images/${id}/file`, needs: 'read' },
    { method: 'POST', url: '/v2/images', needs: 'write' },
    { method: 'PUT', url: `/v2/images/${id}/file`, needs: 'write' },
    { method: 'PATCH', url: `/v2/images/${id}`, needs: 'write' },
    { method: 'DELETE', url: `/v2/images/${id}`, needs: 'write' },
    { method: 'GET', url: '/v2/schemas/task', needs: 'token' }
  ] as const

  const app = appOver(new MemoryService())

  describe.each(routes)('$method $url', ({ method, url, needs }) => {
    test.each([
      ['reader', needs !== 'write'],
      ['member', true],
      ['admin', true],
      ['someone', needs === 'token']
    ])('as %s', async (role, allowed) => {
      const answer = await app.inject({ method, url, headers: token('demo', role) })

      expect(answer.statusCode === 403).toBe(!allowed)
      if (!allowed) expect(answer.json().error.message).toContain('You are not authorized to complete')
    })
  })

  test.each(['/v2/tasks', '/v2/nope', '/nope', '/v2/tasks/'])('401 comes before routing: %s', async (url) => {
    const app = appOver(new MemoryService(), { keystoneUri: () => 'http://keystone.example.com/v3' })

    const answer = await app.inject({ url, headers: { 'x-roles': 'admin', 'x-identity-status': 'Confirmed' } })

    expect(answer.statusCode).toBe(401)
    expect(answer.headers['www-authenticate']).toBe('Keystone uri="http://keystone.example.com/v3"')
  })

  test.each(['/', '/versions', '/healthcheck', '/readyz', '/openapi.json', '/docs/'])(
    '%s needs no token',
    async (url) => {
      const answer = await app.inject({ url })

      expect(answer.statusCode).toBe(url === '/' ? 300 : 200)
    }
  )
})
