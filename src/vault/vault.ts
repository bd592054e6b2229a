import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Credentials } from '../destinations/destination.ts'
import { CredentialsLost } from '../domain/errors.ts'
import type { OwnerId, TaskId } from '../domain/ids.ts'
import { Secret } from '../domain/secret.ts'
import type { Vault } from '../export/ports.ts'
import { KEY_BYTES, type Keys } from './keys.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Envelope encryption: every task has a data key of its own, wrapped by a key-encryption key. Both layers are bound to the
 * task and its owner, so a sealed row that is copied to another task does not open there.
 * @see https://csrc.nist.gov/pubs/sp/800/38/d/final AES-GCM
 */
export function createVault(keys: Keys): Vault {
  return {
    seal(task, owner, credentials) {
      const dataKey = randomBytes(KEY_BYTES)
      const about = boundTo(task, owner, keys.current)
      const sealed = {
        keyId: keys.current,
        wrappedKey: encrypt(keyOf(keys, keys.current), about, dataKey),
        ciphertext: encrypt(dataKey, about, Buffer.from(JSON.stringify(credentials)))
      }
      dataKey.fill(0)
      return sealed
    },
    open(task, owner, { keyId, wrappedKey, ciphertext }) {
      try {
        const about = boundTo(task, owner, keyId)
        const dataKey = decrypt(keyOf(keys, keyId), about, wrappedKey)
        const plain = decrypt(dataKey, about, ciphertext)
        const credentials: Credentials = JSON.parse(plain.toString('utf8'))
        dataKey.fill(0)
        plain.fill(0)
        return new Secret(credentials)
      } catch (cause) {
        throw new CredentialsLost({ cause })
      }
    }
  }
}

const boundTo = (task: TaskId, owner: OwnerId, keyId: string) => Buffer.from(JSON.stringify(['v1', task, owner, keyId]))

function keyOf(keys: Keys, id: string): Buffer {
  const key = keys.byId.get(id)
  if (!key) throw new Error(`there is no key-encryption key ${JSON.stringify(id)} in KEK_FILE`)
  return key
}

function encrypt(key: Buffer, about: Buffer, plain: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(about)
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Buffer, about: Buffer, sealed: Buffer): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new Error('sealed bytes are too short')
  // Without authTagLength a tag of 4 bytes would be accepted too.
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(about).setAuthTag(sealed.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}
