import { createHmac } from 'node:crypto'
import { failure } from '../failures.ts'
import type { Access, Method } from './login.ts'
import type { TempUrlCredentials } from './settings.ts'

/** A request begins within moments of its signing; the server checks the time at its beginning. */
const SIGNATURE_SECONDS = 3600
/** What a signature for uploading lets in (Swift's tempurl allows HEAD with it). */
const WITH_UPLOAD_SIGNATURE: readonly Method[] = ['PUT', 'HEAD']

/**
 * Temporary URLs: each request is signed, or one signature was given beforehand. No login.
 * @param host of `export_to`
 * @see https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
 */
export function tempUrlAccess(credentials: TempUrlCredentials, account: string, host: string): Access {
  const base = credentials.endpoint ?? new URL(`https://${host}`)
  const storage =
    base.pathname === '/' ? new URL(`/v1/${encodeURIComponent(account)}`, base) : new URL(base.href.replace(/\/$/, ''))
  return {
    renewable: false,
    async login() {
      if (credentials.by === 'signature') {
        const { signature, expires, prefix } = credentials
        const query = {
          temp_url_sig: signature,
          temp_url_expires: expires,
          ...(prefix === undefined ? {} : { temp_url_prefix: prefix })
        }
        return {
          storage,
          expiresAt: timeOf(expires),
          pass(method) {
            if (!WITH_UPLOAD_SIGNATURE.includes(method)) throw failure('signedForUpload', storage.host)
            return { headers: {}, query }
          }
        }
      }
      const { key, digest } = credentials
      return {
        storage,
        expiresAt: undefined,
        async pass(method, path, limits) {
          const expires = Math.floor(Date.now() / 1000) + SIGNATURE_SECONDS
          const algorithm = digest ?? (await limits()).tempUrlDigest
          const signature = createHmac(algorithm, key).update(`${method}\n${expires}\n${path}`).digest('hex')
          return { headers: {}, query: { temp_url_sig: signature, temp_url_expires: String(expires) } }
        }
      }
    }
  }
}

/** Seconds since 1970 or ISO 8601, as Swift takes both. */
function timeOf(expires: string): number | undefined {
  const time = /^\d+$/.test(expires) ? Number(expires) * 1000 : Date.parse(expires)
  return Number.isNaN(time) ? undefined : time
}
