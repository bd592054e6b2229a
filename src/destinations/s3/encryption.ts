import { createHash } from 'node:crypto'
import { credentialsInvalid } from '../credentials.ts'
import type { Credentials } from '../destination.ts'

/** How the store encrypts an object: `s3` with its own keys, `kms` with a key of its key service, `c` with the given key. */
export type Encryption =
  | { readonly mode: 'none' | 's3' }
  | { readonly mode: 'kms'; readonly keyId: string | undefined }
  | { readonly mode: 'c'; readonly key: Buffer }

/** An AES-256 key in base64. */
const CUSTOMER_KEY = /^[A-Za-z0-9+/]{43}=$/

/**
 * Reads `sse`.
 * @throws DestinationInvalid DEST_CREDENTIALS_INVALID
 */
export function readEncryption(credentials: Credentials): Encryption {
  const { sse } = credentials as { sse?: { mode?: unknown; kms_key_id?: unknown; customer_key?: unknown } }
  if (sse === undefined) return { mode: 'none' }
  const { mode, kms_key_id: keyId, customer_key: key } = sse
  if (mode !== 'kms' && keyId !== undefined) throw invalid('kms_key_id', 'kms_key_id goes with the mode kms')
  if (mode !== 'c' && key !== undefined) throw invalid('customer_key', 'customer_key goes with the mode c')
  switch (mode) {
    case 'none':
    case 's3':
      return { mode }
    case 'kms':
      if (keyId !== undefined && !(typeof keyId === 'string' && /^[\x21-\x7e]+$/.test(keyId)))
        throw invalid('kms_key_id', 'kms_key_id may hold printable ASCII characters without spaces only')
      return { mode, keyId }
    case 'c':
      if (typeof key !== 'string' || !CUSTOMER_KEY.test(key))
        throw invalid('customer_key', 'the mode c needs customer_key, 32 bytes in base64')
      return { mode, key: Buffer.from(key, 'base64') }
    default:
      throw invalid('mode', 'mode is none, s3, kms or c')
  }
}

const invalid = (field: string, why: string) => credentialsInvalid(`sse/${field}`, `sse: ${why}`)

/** What a request that makes an object says of its encryption, as input of an SDK command. */
export function encryptionInput(encryption: Encryption) {
  switch (encryption.mode) {
    case 's3':
      return { ServerSideEncryption: 'AES256' } as const
    case 'kms':
      return { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: encryption.keyId } as const
    default:
      return customerKeyInput(encryption)
  }
}

/** What every other request about the object has to say: the customer's key, which the store does not keep. */
export function customerKeyInput(encryption: Encryption) {
  if (encryption.mode !== 'c') return {}
  const { key } = encryption
  return { SSECustomerAlgorithm: 'AES256', SSECustomerKey: key.toString('base64'), SSECustomerKeyMD5: md5(key) }
}

/** The same as headers, for a request whose URL is signed: the SDK signs them and leaves sending them to us. */
export function customerKeyHeaders(encryption: Encryption): Record<string, string> {
  if (encryption.mode !== 'c') return {}
  const prefix = 'x-amz-server-side-encryption-customer'
  return {
    [`${prefix}-algorithm`]: 'AES256',
    [`${prefix}-key`]: encryption.key.toString('base64'),
    [`${prefix}-key-md5`]: md5(encryption.key)
  }
}

/** Whether the store says that it encrypts. Swift's S3 API takes a customer's key without a word and stores plain bytes. */
export function isConfirmed(
  encryption: Encryption,
  answer: { readonly ServerSideEncryption?: string | undefined; readonly SSECustomerAlgorithm?: string | undefined }
): boolean {
  switch (encryption.mode) {
    case 'none':
      return true
    case 's3':
      return answer.ServerSideEncryption !== undefined
    case 'kms':
      return answer.ServerSideEncryption?.startsWith('aws:kms') === true
    case 'c':
      return answer.SSECustomerAlgorithm !== undefined
  }
}

const md5 = (key: Buffer): string => createHash('md5').update(key).digest('base64')
