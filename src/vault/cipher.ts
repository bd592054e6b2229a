import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { OwnerId, TaskId } from '../domain/ids.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** What both layers are bound to, so that a sealed row that is copied to another task does not open there. */
export const boundTo = (task: TaskId, owner: OwnerId, keyId: string): Buffer =>
  Buffer.from(JSON.stringify(['v1', task, owner, keyId]))

/**
 * Nonce, ciphertext and tag in one.
 * @see https://csrc.nist.gov/pubs/sp/800/38/d/final AES-GCM
 */
export function encrypt(key: Buffer, about: Buffer, plain: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(about)
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** Throws unless `sealed` was encrypted with this key and about the same. */
export function decrypt(key: Buffer, about: Buffer, sealed: Buffer): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new Error('sealed bytes are too short')
  // Without authTagLength a tag of 4 bytes would be accepted too.
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(about).setAuthTag(sealed.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}
