import { X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { Type } from 'typebox'
import { credentialsInvalid, optionalTextField, textField } from './credentials.ts'
import type { Credentials } from './destination.ts'
import { readHost } from './host.ts'

const pem = (description: string) => Type.String({ minLength: 1, maxLength: 65_536, description })

/** `tls`, a field beside any `kind` of credentials: what this one target needs to be trusted. */
export const TLS_FIELD = Type.Optional(
  Type.Object(
    {
      ca_pem: Type.Optional(pem('PEM of certificate authorities to trust besides the well-known ones')),
      server_name: Type.Optional(
        Type.String({ minLength: 1, maxLength: 253, description: 'Name to ask for and to find in the certificate' })
      )
    },
    { additionalProperties: false, description: 'How the server proves who it is; it always has to' }
  )
)

/** A certificate of the client, for `mtls`. */
export const CLIENT_CERTIFICATE_FIELDS = {
  cert_pem: pem('PEM of the client certificate, with its chain'),
  key_pem: pem('PEM of its private key, without a passphrase')
}

/** What one target wants otherwise than the rest: added to the verification, never instead of it. */
export type TlsOptions = {
  readonly ca?: string
  readonly serverName?: string
  readonly cert?: string
  readonly key?: string
}

/**
 * Reads `tls`, `cert_pem` and `key_pem` of the credentials.
 * @returns undefined when nothing of it was given
 * @throws DestinationInvalid DEST_CREDENTIALS_INVALID
 */
export function readTlsOptions(credentials: Credentials | undefined): TlsOptions | undefined {
  if (credentials === undefined) return undefined
  const options = { ...readTrust(credentials), ...readClientCertificate(credentials) }
  return Object.keys(options).length === 0 ? undefined : options
}

function readTrust(credentials: Credentials): Pick<TlsOptions, 'ca' | 'serverName'> {
  if (credentials.tls === undefined) return {}
  const fields = { ...(credentials.tls as object), kind: credentials.kind }
  const ca = optionalTextField(fields, 'ca_pem')
  const serverName = optionalTextField(fields, 'server_name')
  if (ca !== undefined) checkAuthorities(ca)
  if (serverName !== undefined && readHost(serverName).kind !== 'name') {
    throw credentialsInvalid('tls/server_name', 'tls.server_name has to be a DNS name')
  }
  return { ...(ca !== undefined && { ca }), ...(serverName !== undefined && { serverName }) }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

function checkAuthorities(ca: string): void {
  const certificates = ca.match(CERTIFICATE) ?? []
  if (certificates.length === 0 || !certificates.every(isCertificate)) {
    throw credentialsInvalid('tls/ca_pem', 'tls.ca_pem has to hold certificates in PEM form')
  }
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== ''
  } catch {
    return false
  }
}

function readClientCertificate(credentials: Credentials): Pick<TlsOptions, 'cert' | 'key'> {
  if (credentials.kind !== 'mtls') return {}
  const cert = textField(credentials, 'cert_pem')
  const key = textField(credentials, 'key_pem')
  try {
    tls.createSecureContext({ cert, key })
  } catch {
    throw credentialsInvalid('key_pem', 'cert_pem and key_pem have to be a certificate and its private key in PEM form')
  }
  return { cert, key }
}
