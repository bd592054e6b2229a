import { generateKeyPairSync } from 'node:crypto'
import type { Nginx } from '../peers/nginx.ts'
import type { Rclone } from '../peers/rclone.ts'
import type { Sshd } from '../peers/sshd.ts'
import type { Canaries } from './canaries.ts'

/** A place and credentials whose every text is a canary, as far as its form allows. */
export type SecretSample = { readonly exportTo: string; readonly credentials: Readonly<Record<string, unknown>> }

/** Where the samples go. Without a peer, samples for its protocol go to the other server, which does not speak it. */
export type Whereto = {
  readonly url: string
  readonly host: string
  readonly peers: { readonly nginx?: Nginx; readonly sshd?: Sshd; readonly rclone?: Rclone }
}

type Maker = (canaries: Canaries, to: Whereto) => readonly SecretSample[]

const HTTP = (fields: (canaries: Canaries) => object): Maker => {
  return (canaries, to) => [
    { exportTo: `${to.url}/place`, credentials: { ...fields(canaries), method: 'PUT' } },
    { exportTo: `${secure(to)}/place`, credentials: { ...fields(canaries), tls: tls(canaries, to) } }
  ]
}
const secure = ({ url }: Whereto) => url.replace('http:', 'https:')
const tls = (canaries: Canaries, { peers }: Whereto) => ({
  server_name: `${canaries.word().toLowerCase()}.example`,
  ca_pem: peers.nginx?.caPem ?? NO_CERTIFICATE
})

/** Everything once more, at URLs of https. */
const alsoOverTls =
  (maker: Maker): Maker =>
  (canaries, to) => [
    ...maker(canaries, to),
    ...maker(canaries, { ...to, url: secure(to) }).map(({ exportTo, credentials }) => ({
      exportTo,
      credentials: { ...credentials, tls: { ca_pem: tls(canaries, to).ca_pem } }
    }))
  ]

/** By the kind of the credentials. A test holds that every kind and every field is here. */
export const SECRET_SAMPLES: Readonly<Record<string, Maker>> = {
  none: HTTP(() => ({ kind: 'none' })),
  basic: HTTP((c) => ({ kind: 'basic', username: c.word(), password: `${c.word()}/+ &` })),
  bearer: HTTP((c) => ({ kind: 'bearer', token: c.word() })),
  header: HTTP((c) => ({ kind: 'header', name: `x-${c.word()}`, value: c.word() })),
  presigned: (c, to) => [
    {
      exportTo: `${to.url}/signed/object`,
      credentials: { kind: 'presigned', query: `sig=${c.word()}&by=${c.word()}`, headers: { 'x-signed': c.word() } }
    },
    { exportTo: `${to.url}/signed/other?sig=${c.word()}`, credentials: { kind: 'presigned', method: 'PUT' } },
    { exportTo: `${secure(to)}/signed/third?sig=${c.word()}`, credentials: { kind: 'presigned', tls: tls(c, to) } }
  ],
  s3_static: (c, to) => [
    {
      exportTo: 's3://backup/vm',
      credentials: { kind: 's3_static', ...s3Keys(c), ...s3Store(to), sse: { mode: 'kms', kms_key_id: c.word() } }
    },
    {
      exportTo: 's3://backup/vm',
      credentials: { kind: 's3_static', ...s3Keys(c), ...s3Store(to), sse: { mode: 'c', customer_key: customerKey(c) } }
    },
    {
      exportTo: 's3://backup/vm',
      credentials: { kind: 's3_static', ...s3Keys(c), ...s3Store(to), endpoint: secure(to), tls: tls(c, to) }
    }
  ],
  s3_assume_role: (c, to) => [
    {
      exportTo: 's3://backup/vm',
      credentials: {
        kind: 's3_assume_role',
        ...s3Keys(c),
        ...s3Store(to),
        role_arn: `arn:aws:iam::1:role/${c.word()}`,
        external_id: c.word(),
        session_name: c.word(),
        duration_seconds: 3600,
        sts_endpoint: to.url,
        sse: { mode: 'kms', kms_key_id: c.word() }
      }
    },
    {
      exportTo: 's3://backup/vm',
      credentials: {
        kind: 's3_assume_role',
        ...s3Keys(c),
        ...s3Store(to),
        endpoint: secure(to),
        role_arn: `arn:aws:iam::1:role/${c.word()}`,
        sse: { mode: 'c', customer_key: customerKey(c) },
        tls: tls(c, to)
      }
    }
  ],
  s3_presigned: (c, to) => {
    const signed = (query = '') =>
      `${to.url}/backup/vm?X-Amz-Signature=${c.word()}&X-Amz-Credential=${c.word()}${query}`
    return [
      { exportTo: 's3://backup/vm', credentials: { kind: 's3_presigned', put_url: signed() } },
      {
        exportTo: 's3://backup/vm',
        credentials: {
          kind: 's3_presigned',
          parts: [signed('&uploadId=u&partNumber=1'), signed('&uploadId=u&partNumber=2')],
          complete_url: signed('&uploadId=u'),
          abort_url: signed('&uploadId=u'),
          part_bytes: 5_242_880
        }
      },
      {
        exportTo: 's3://backup/vm',
        credentials: { kind: 's3_presigned', put_url: signed().replace('http:', 'https:'), tls: tls(c, to) }
      }
    ]
  },
  tempauth: alsoOverTls((c, to) => [
    {
      exportTo: swiftPlace(to),
      credentials: {
        kind: 'tempauth',
        auth_url: `${to.url}/auth/v1.0`,
        user: `test:${c.word()}`,
        key: c.word(),
        endpoint: to.url
      }
    }
  ]),
  password: alsoOverTls((c, to) => [
    {
      exportTo: swiftPlace(to),
      credentials: {
        ...keystone('password', to),
        username: c.word(),
        password: c.word(),
        user_domain_name: c.word(),
        project_name: c.word(),
        project_domain_name: c.word()
      }
    },
    {
      exportTo: swiftPlace(to),
      credentials: {
        ...keystone('password', to),
        username: c.word(),
        password: c.word(),
        user_domain_id: c.word(),
        project_name: c.word(),
        project_domain_id: c.word()
      }
    },
    {
      exportTo: swiftPlace(to),
      credentials: { ...keystone('password', to), username: c.word(), password: c.word(), project_id: c.word() }
    }
  ]),
  application_credential: alsoOverTls((c, to) => [
    {
      exportTo: swiftPlace(to),
      credentials: { ...keystone('application_credential', to), id: c.word(), secret: c.word() }
    }
  ]),
  token: alsoOverTls((c, to) => [
    { exportTo: swiftPlace(to), credentials: { ...keystone('token', to), token: c.word() } }
  ]),
  temp_url: alsoOverTls((c, to) => [
    {
      exportTo: swiftPlace(to),
      credentials: { kind: 'temp_url', key: c.word(), digest: 'sha256', endpoint: to.url }
    },
    {
      exportTo: swiftPlace(to),
      credentials: {
        kind: 'temp_url',
        temp_url_sig: c.word(),
        temp_url_expires: `${Math.floor(Date.now() / 1000) + 86_400}`,
        temp_url_prefix: 'vm',
        endpoint: to.url
      }
    }
  ]),
  mtls: (c, to) => {
    const { nginx } = to.peers
    const login = {
      kind: 'mtls',
      cert_pem: nginx?.clientCertPem ?? NO_CERTIFICATE,
      key_pem: secretPem(c, nginx?.clientKeyPem ?? rsaKey())
    }
    const trust = { ca_pem: nginx?.caPem ?? NO_CERTIFICATE, server_name: 'localhost' }
    return [
      { exportTo: `${nginx?.httpsClientCert ?? secure(to)}/put/mtls`, credentials: { ...login, tls: trust } },
      { exportTo: `${secure(to)}/place`, credentials: { ...login, method: 'PUT', tls: tls(c, to) } }
    ]
  },
  ssh_password: (c, { host, peers: { rclone } }) => {
    if (rclone) c.also(rclone.sftp.password)
    return [
      {
        exportTo: `sftp://${placeOf(rclone?.sftp, host)}/`,
        credentials: {
          kind: 'ssh_password',
          username: rclone?.sftp.username ?? c.word(),
          password: rclone?.sftp.password ?? c.word(),
          host_key_sha256: rclone?.sftp.hostKeySha256 ?? NO_KEY
        }
      },
      {
        exportTo: `sftp://${placeOf(rclone?.sftp, host)}/`,
        credentials: {
          kind: 'ssh_password',
          username: c.word(),
          password: c.word(),
          host_key_sha256: rclone?.sftp.hostKeySha256 ?? NO_KEY
        }
      }
    ]
  },
  ssh_key: (c, { host, peers: { sshd } }) => {
    const passphrase = c.word()
    const exportTo = `sftp://${placeOf(sshd, host)}${sshd?.root ?? '/place'}`
    const host_key_sha256 = sshd?.hostKeySha256 ?? NO_KEY
    return [
      {
        exportTo,
        credentials: {
          kind: 'ssh_key',
          username: sshd?.username ?? c.word(),
          private_key: secretPem(c, sshd?.privateKeyPem ?? rsaKey()),
          host_key_sha256
        }
      },
      {
        exportTo,
        credentials: {
          kind: 'ssh_key',
          username: c.word(),
          private_key: secretPem(c, rsaKey(passphrase)),
          passphrase,
          host_key_sha256
        }
      }
    ]
  }
}

const NO_CERTIFICATE = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'
const NO_KEY = `SHA256:${'A'.repeat(43)}`
const placeOf = (sftp: { readonly host: string; readonly port: number } | undefined, otherwise: string) =>
  sftp ? `${sftp.host}:${sftp.port}` : otherwise

const s3Keys = (c: Canaries) => ({
  access_key_id: c.word(),
  secret_access_key: `${c.word()}/+`,
  session_token: c.word()
})
const s3Store = (to: Whereto) => ({ endpoint: to.url, region: 'here', addressing_style: 'path' })
const swiftPlace = (to: Whereto) => `swift://${to.host}/AUTH_test/container/vm`
const keystone = (kind: string, to: Whereto) => ({
  kind,
  auth_url: `${to.url}/v3`,
  region: 'one',
  interface: 'public',
  endpoint: to.url
})

/** 32 bytes that are a canary and more. */
const customerKey = (c: Canaries) => Buffer.from(c.word().padEnd(32, '.')).toString('base64')

/** `pem`, of whose secret part a piece is looked for. */
function secretPem(canaries: Canaries, pem: string): string {
  const lines = pem.split('\n')
  canaries.also(lines.at(Math.floor(lines.length / 2) - 1) ?? pem)
  return pem
}

function rsaKey(passphrase?: string): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const lock = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }
  return privateKey.export({ type: 'pkcs1', format: 'pem', ...lock }).toString()
}
