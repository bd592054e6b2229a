import type { Connections } from '../connection.ts'
import { failure } from '../failures.ts'
import { put } from '../put.ts'
import { loginFailure } from './failures.ts'
import { type Access, tokenLogin } from './login.ts'
import type { SwiftCredentials } from './settings.ts'
import { storageUrl } from './storage-url.ts'

/**
 * The v1 login of Swift's tempauth and of Ceph.
 * @see https://docs.openstack.org/swift/latest/overview_auth.html
 */
export function tempauthAccess(
  credentials: Extract<SwiftCredentials, { readonly kind: 'tempauth' }>,
  account: string,
  connections: Connections
): Access {
  const url = new URL(credentials.authUrl)
  if (url.pathname === '/') url.pathname = '/auth/v1.0'
  return {
    renewable: true,
    async login(signal) {
      const { user, key } = credentials
      const headers = { 'x-auth-user': user, 'x-auth-key': key }
      const answer = await put({ method: 'GET', url, headers, length: 0, connections, credentials: true, signal })
      if (answer.status !== 200 && answer.status !== 204) throw loginFailure(url.host, answer)
      const token = answer.headers['x-auth-token']
      if (typeof token !== 'string') throw failure('noLogin', url.host)
      const seconds = Number(answer.headers['x-auth-token-expires'] ?? Number.NaN)
      const storage = storageUrl(String(answer.headers['x-storage-url'] ?? ''), credentials.endpoint, {
        named: account,
        alsoNamed: [user.split(':')[0] ?? user],
        host: url.host
      })
      return tokenLogin(storage, token, Number.isNaN(seconds) ? undefined : Date.now() + seconds * 1000)
    }
  }
}
