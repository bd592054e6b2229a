import { randomBytes } from 'node:crypto'
import type { Sealer } from '../export/ports.ts'
import { boundTo, encrypt } from './cipher.ts'
import { fingerprints } from './fingerprint.ts'
import { KEY_BYTES, type Keys, keyOf } from './keys.ts'

/** Envelope encryption: every task has a data key of its own, wrapped by the current key-encryption key. */
export function createSealer(keys: Keys): Sealer {
  const fingerprint = fingerprints(keys)
  return {
    seal(task, owner, { credentials, diskKey }) {
      if (!credentials && diskKey === undefined) return null
      const dataKey = randomBytes(KEY_BYTES)
      const about = boundTo(task, owner, keys.current)
      // Credentials alone stand as they did before there were disk keys, for workers of then.
      const document = diskKey === undefined ? credentials : { credentials, diskKey }
      const plain = Buffer.from(JSON.stringify(document))
      const sealed = {
        keyId: keys.current,
        wrappedKey: encrypt(keyOf(keys, keys.current), about, dataKey),
        ciphertext: encrypt(dataKey, about, plain)
      }
      dataKey.fill(0)
      plain.fill(0)
      return { kind: credentials?.kind ?? null, fingerprint: credentials ? fingerprint(credentials) : null, sealed }
    }
  }
}
