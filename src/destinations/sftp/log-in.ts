import type { Socket } from 'node:net'
import type { Client, ConnectConfig } from 'ssh2'
import { failure } from '../failures.ts'
import type { Login } from './credentials.ts'
import { loginFailure } from './failures.ts'
import type { HostTrust } from './host-trust.ts'
import { kindOf } from './known-hosts.ts'

/** What is safe today: no SHA-1, no CBC, no group exchange (whose primes the server would choose), no compression. */
const ALGORITHMS = {
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group18-sha512',
    'diffie-hellman-group14-sha256'
  ],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
    'chacha20-poly1305@openssh.com'
  ],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none']
} satisfies ConnectConfig['algorithms']

export const HOST_KEY_ALGORITHMS = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256'
] as const
export type HostKeyAlgorithm = (typeof HOST_KEY_ALGORITHMS)[number]

/** The client, or the kind of host key that was shown instead of the wanted one. */
export type LogIn = { readonly client: Client } | { readonly otherKey: string }

/**
 * Makes sure of the host and logs in. Nothing secret is sent before the host key was compared.
 * @param hostKeys algorithms the host may prove itself with
 * @throws DestinationError
 */
export async function logIn(
  socket: Socket,
  host: string,
  login: Login,
  { trust, hostKeys }: { readonly trust: HostTrust; readonly hostKeys: readonly HostKeyAlgorithm[] },
  withinMs: number
): Promise<LogIn> {
  const { Client } = (await import('ssh2')).default
  const client = new Client()
  let otherKey: string | undefined
  return new Promise<LogIn>((resolve, reject) => {
    const fail = (error: unknown) => {
      if (otherKey === undefined) reject(loginFailure(host, error))
      else resolve({ otherKey })
      socket.destroy() // ssh2 waits for the other side after some errors
    }
    client.on('ready', () => resolve({ client }))
    client.on('error', fail)
    client.on('close', () => reject(failure('brokenOff', host)))
    client.on('keyboard-interactive', (_name, _instructions, _language, prompts, answer) =>
      answer(prompts.map(({ echo }) => ('password' in login && !echo ? login.password : '')))
    )
    try {
      client.connect({
        sock: socket,
        username: login.username,
        ...loginMethod(login),
        algorithms: { ...ALGORITHMS, serverHostKey: [...hostKeys] },
        hostVerifier: (key: Buffer) => {
          const verdict = trust.judge(key)
          if (verdict === 'other') otherKey = kindOf(key) ?? ''
          if (verdict === 'revoked') reject(failure('hostKeyRevoked', host))
          return verdict === 'right'
        },
        readyTimeout: withinMs
      })
    } catch (cause) {
      reject(failure('keyUnusable', host, { cause }))
      socket.destroy()
    }
  })
}

/** Many servers ask for a password by the "keyboard-interactive" method only. */
const loginMethod = (login: Login): ConnectConfig => {
  if ('password' in login)
    return { password: login.password, tryKeyboard: true, authHandler: ['password', 'keyboard-interactive'] }
  const { privateKey, passphrase } = login
  return { privateKey, ...(passphrase !== undefined && { passphrase }), authHandler: ['publickey'] }
}
