import type { IncomingHttpHeaders } from 'node:http'
import { describe, expect, test } from 'vitest'
import { Secret } from '../../../src/domain/secret.ts'
import { devIdentity, trustedHeadersIdentity } from '../../../src/http/access/identity.ts'
import { appOver, MemoryService } from './memory-service.ts'

const caller = (headers: IncomingHttpHeaders, peer = '192.0.2.1') => ({ headers, peer })

describe('dev tokens', () => {
  test('name user, project and roles, also percent-encoded as python-glanceclient sends them', () => {
    const viewer = { owner: 'demo', userId: 'alice', roles: ['member', 'reader'], admin: false }

    expect(devIdentity.identify(caller({ 'x-auth-token': 'alice:demo:member,reader' }))).toEqual(viewer)
    expect(devIdentity.identify(caller({ 'x-auth-token': 'alice%3Ademo%3AMember%2Creader' }))).toEqual(viewer)
    expect(devIdentity.identify(caller({ 'x-auth-token': 'root:ops:admin' }))).toMatchObject({ admin: true })
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
    expect(devIdentity.identify(caller({ 'x-auth-token': text }))).toBeUndefined()
  })
})

describe('trusted headers', () => {
  const confirmed = {
    'x-identity-status': 'Confirmed',
    'x-user-id': 'u1',
    'x-project-id': 'p1',
    'x-roles': 'Member, reader'
  }

  const viewer = { owner: 'p1', userId: 'u1', roles: ['member', 'reader'], admin: false }
  const secret = new Secret('a secret of the proxy')

  test('are believed when the proxy confirmed them', () => {
    const identity = trustedHeadersIdentity({ networks: ['10.0.0.0/8', 'fd00::/8'] })

    expect(identity.identify(caller(confirmed, '10.1.2.3'))).toEqual(viewer)
    expect(identity.identify(caller(confirmed, '::ffff:10.1.2.3'))).toEqual(viewer)
    expect(identity.identify(caller(confirmed, 'fd00::1'))).toEqual(viewer)
  })

  test.each(['11.0.0.1', '::1', '', 'localhost'])('are not believed of anybody else, such as %j', (peer) => {
    const forged = { ...confirmed, 'x-forwarded-for': '10.1.2.3' }

    expect(trustedHeadersIdentity({ networks: ['10.0.0.0/8'] }).identify(caller(forged, peer))).toBeUndefined()
    expect(trustedHeadersIdentity({ networks: [] }).identify(caller(forged, peer))).toBeUndefined()
  })

  test('are believed of whoever knows the secret, and then of nobody else', () => {
    const identity = trustedHeadersIdentity({ networks: ['10.0.0.0/8'], secret })
    const knowing = { ...confirmed, 'x-proxy-secret': 'a secret of the proxy' }

    expect(identity.identify(caller(knowing, '192.0.2.1'))).toEqual(viewer)
    for (const guess of [{}, { 'x-proxy-secret': '' }, { 'x-proxy-secret': 'a secret of the proxy2' }]) {
      expect(identity.identify(caller({ ...confirmed, ...guess }, '10.1.2.3'))).toBeUndefined()
    }
  })

  test.each([
    { 'x-identity-status': 'Invalid' },
    { 'x-identity-status': undefined },
    { 'x-user-id': undefined },
    { 'x-project-id': '' },
    { 'x-roles': undefined }
  ])('are not believed with %j', (change) => {
    const identity = trustedHeadersIdentity({ networks: ['10.0.0.0/8'] })

    expect(identity.identify(caller({ ...confirmed, ...change }, '10.0.0.1'))).toBeUndefined()
  })
})

describe('access', () => {
  const app = appOver(new MemoryService())

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
