import { createHmac } from 'node:crypto'
import type { Credentials } from '../destinations/destination.ts'
import { derivedKey, type Keys } from './keys.ts'

/** Fields that say who logs in. With one of them nothing secret goes into the fingerprint, which outlives the credentials. */
const PRINCIPAL = ['access_key_id', 'username', 'user', 'id']
/** Fields that say where a principal is at home. */
const HOME = [
  'auth_url',
  'user_domain_name',
  'user_domain_id',
  'project_name',
  'project_id',
  'project_domain_name',
  'project_domain_id',
  'role_arn'
]
const SHORTEST_KEY_ID = 16

/**
 * A short name for credentials by which their user can tell which ones a task was given: the ends of an access key id, such
 * as `AKIA…4F2Q`, otherwise 12 hex digits, the same as long as the current key-encryption key is. Without that key nothing
 * can be learned from them.
 */
export function fingerprints(keys: Keys): (credentials: Credentials) => string {
  const key = derivedKey(keys, 'fingerprints of credentials')
  return (credentials) => {
    const { access_key_id: keyId } = credentials
    if (typeof keyId === 'string' && /^[\x21-\x7e]+$/.test(keyId) && keyId.length >= SHORTEST_KEY_ID)
      return `${keyId.slice(0, 4)}…${keyId.slice(-4)}`
    const named = PRINCIPAL.some((field) => credentials[field] !== undefined)
    const fields = Object.entries(credentials).filter(([field]) => !named || [...PRINCIPAL, ...HOME].includes(field))
    const text = JSON.stringify([credentials.kind, ...fields.sort(([a], [b]) => (a < b ? -1 : 1))])
    return createHmac('sha256', key).update(text).digest('hex').slice(0, 12)
  }
}
