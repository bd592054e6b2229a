import { type TSchema, Type } from 'typebox'
import { credentialsInvalid, optionalTextField, textField } from '../credentials.ts'
import type { Credentials } from '../destination.ts'

const text = (description: string) => Type.String({ minLength: 1, maxLength: 1024, description })
const FINGERPRINT = '^SHA256:[A-Za-z0-9+/]{43}$'
const hostKey = Type.Optional(
  Type.String({
    pattern: FINGERPRINT,
    description:
      'Fingerprint of one of the host keys, as `ssh-keygen -l` prints it; absent: the operator knows the host'
  })
)
const closed = { additionalProperties: false } as const

export const SFTP_CREDENTIALS: readonly TSchema[] = [
  Type.Object(
    {
      kind: Type.Literal('ssh_password'),
      username: text('User of the SSH server'),
      password: text('Its password'),
      host_key_sha256: hostKey
    },
    closed
  ),
  Type.Object(
    {
      kind: Type.Literal('ssh_key'),
      username: text('User of the SSH server'),
      private_key: Type.String({
        minLength: 1,
        maxLength: 16_384,
        description: 'In OpenSSH or PEM form; Ed25519, ECDSA or RSA'
      }),
      passphrase: Type.Optional(text('Of the private key')),
      host_key_sha256: hostKey
    },
    closed
  )
]

/** How to log in, and which host to log in to. */
export type Login = {
  readonly username: string
  /** `SHA256:` and base64 without padding; undefined: it is left to the operator's list. */
  readonly hostKeySha256: string | undefined
} & ({ readonly password: string } | { readonly privateKey: string; readonly passphrase: string | undefined })

/** @throws DestinationInvalid DEST_CREDENTIALS_INVALID */
export function readLogin(credentials: Credentials | undefined): Login {
  switch (credentials?.kind) {
    case 'ssh_password':
      return { ...whoAndWhere(credentials), password: textField(credentials, 'password') }
    case 'ssh_key': {
      const privateKey = textField(credentials, 'private_key')
      assertCheap(privateKey)
      return { ...whoAndWhere(credentials), privateKey, passphrase: optionalTextField(credentials, 'passphrase') }
    }
    default:
      throw credentialsInvalid('kind', 'sftp takes the kinds ssh_password and ssh_key')
  }
}

function whoAndWhere(credentials: Credentials) {
  const hostKeySha256 = optionalTextField(credentials, 'host_key_sha256')
  if (hostKeySha256 !== undefined && !new RegExp(FINGERPRINT).test(hostKeySha256))
    throw credentialsInvalid('host_key_sha256', 'host_key_sha256 has to look like SHA256:... of ssh-keygen -l')
  return { username: textField(credentials, 'username'), hostKeySha256 }
}

/** A round of bcrypt takes about 12 ms here, during which nothing else runs; ssh-keygen makes 16 or 24. */
const MAX_KDF_ROUNDS = 32
const OPENSSH_KEY = /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END/
const MAGIC = 'openssh-key-v1\0'

/** Opening a key must not hold the worker up: how long that takes is up to whoever made the key (OpenSSH's PROTOCOL.key). */
function assertCheap(privateKey: string): void {
  const blob = Buffer.from(OPENSSH_KEY.exec(privateKey)?.[1] ?? '', 'base64')
  if (blob.toString('latin1', 0, MAGIC.length) !== MAGIC) return
  let at = MAGIC.length
  const field = () => {
    const length = blob.readUInt32BE(at)
    at += 4 + length
    return blob.subarray(at - length, at)
  }
  try {
    field() // cipher
    if (field().toString('latin1') !== 'bcrypt') return
    const options = field()
    if (options.readUInt32BE(options.length - 4) <= MAX_KDF_ROUNDS) return
  } catch {
    throw credentialsInvalid('private_key', 'private_key is cut off')
  }
  const remedy = `change that with ssh-keygen -p -a ${MAX_KDF_ROUNDS}`
  throw credentialsInvalid('private_key', `private_key is too slow to open (its key derivation); ${remedy}`)
}
