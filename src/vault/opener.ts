import type { Credentials } from '../destinations/destination.ts'
import { CredentialsLost } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'
import type { Opener, TaskSecrets } from '../export/ports.ts'
import { boundTo, decrypt } from './cipher.ts'
import { type Keys, keyOf } from './keys.ts'

/** Opens what a sealer with one of these keys has sealed. For the worker alone: the API has no use for it. */
export const createOpener = (keys: Keys): Opener => ({
  open(task, owner, { keyId, wrappedKey, ciphertext }) {
    try {
      const about = boundTo(task, owner, keyId)
      const dataKey = decrypt(keyOf(keys, keyId), about, wrappedKey)
      const plain = decrypt(dataKey, about, ciphertext)
      const document: Credentials | TaskSecrets = JSON.parse(plain.toString('utf8'))
      dataKey.fill(0)
      plain.fill(0)
      const { credentials, diskKey }: TaskSecrets = isCredentials(document) ? { credentials: document } : document
      return {
        credentials: credentials && new Secret(credentials),
        diskKey: diskKey === undefined ? undefined : new Secret(diskKey)
      }
    } catch (cause) {
      throw new CredentialsLost({ cause })
    }
  }
})

/** Where there is no disk key they are the whole document. */
const isCredentials = (document: Credentials | TaskSecrets): document is Credentials => 'kind' in document
