import { credentialsInvalid, optionalTextField, textField } from '../credentials.ts'
import type { Credentials } from '../destination.ts'
import { parseServiceUrl } from '../target.ts'
import { readTlsOptions, type TlsOptions } from '../tls.ts'

type Override = { readonly endpoint: URL | undefined; readonly tls: TlsOptions | undefined }
type Catalogue = Override & {
  readonly authUrl: URL
  readonly region: string | undefined
  readonly interface: string
}

/** A name or id of Keystone, in the form its API takes. */
type NameOrId = { readonly name: string } | { readonly id: string }

/** How to be let in. */
export type SwiftCredentials =
  | (Override & { readonly kind: 'tempauth'; readonly authUrl: URL; readonly user: string; readonly key: string })
  | (Catalogue & {
      readonly kind: 'password'
      readonly username: string
      readonly password: string
      readonly userDomain: NameOrId
      readonly project: { readonly id: string } | { readonly name: string; readonly domain: NameOrId }
    })
  | (Catalogue & { readonly kind: 'application_credential'; readonly id: string; readonly secret: string })
  | (Catalogue & { readonly kind: 'token'; readonly token: string })
  | TempUrlCredentials

export type KeystoneCredentials = Extract<SwiftCredentials, { readonly region: string | undefined }>

export type TempUrlCredentials = Override &
  (
    | { readonly kind: 'temp_url'; readonly by: 'key'; readonly key: string; readonly digest: string | undefined }
    | {
        readonly kind: 'temp_url'
        readonly by: 'signature'
        readonly signature: string
        readonly expires: string
        readonly prefix: string | undefined
      }
  )

/** @throws DestinationInvalid DEST_CREDENTIALS_INVALID or DEST_URL_INVALID */
export function readCredentials(credentials: Credentials | undefined): SwiftCredentials {
  switch (credentials?.kind) {
    case 'tempauth':
      return {
        kind: 'tempauth',
        authUrl: serviceUrl(credentials, 'auth_url'),
        ...overrideOf(credentials),
        user: headerField(credentials, 'user'),
        key: headerField(credentials, 'key')
      }
    case 'password':
      return {
        kind: 'password',
        ...catalogueOf(credentials),
        username: textField(credentials, 'username'),
        password: textField(credentials, 'password'),
        userDomain: nameOrId(credentials, 'user_domain'),
        project: projectOf(credentials)
      }
    case 'application_credential':
      return {
        kind: 'application_credential',
        ...catalogueOf(credentials),
        id: textField(credentials, 'id'),
        secret: textField(credentials, 'secret')
      }
    case 'token':
      return { kind: 'token', ...catalogueOf(credentials), token: headerField(credentials, 'token') }
    case 'temp_url':
      return { kind: 'temp_url', ...overrideOf(credentials), ...signingOf(credentials) }
    default:
      throw credentialsInvalid(
        'kind',
        'swift needs credentials of the kind tempauth, password, application_credential, token or temp_url'
      )
  }
}

function signingOf(credentials: Credentials) {
  const key = optionalTextField(credentials, 'key')
  const signature = optionalTextField(credentials, 'temp_url_sig')
  if ((key === undefined) === (signature === undefined)) {
    throw credentialsInvalid('key', 'temp_url takes either key or temp_url_sig')
  }
  if (key !== undefined) return { by: 'key', key, digest: optionalTextField(credentials, 'digest') } as const
  return {
    by: 'signature',
    signature: textField(credentials, 'temp_url_sig'),
    expires: textField(credentials, 'temp_url_expires'),
    prefix: optionalTextField(credentials, 'temp_url_prefix')
  } as const
}

const catalogueOf = (credentials: Credentials): Catalogue => ({
  authUrl: keystoneUrl(credentials),
  ...overrideOf(credentials),
  region: optionalTextField(credentials, 'region'),
  interface: optionalTextField(credentials, 'interface') ?? 'public'
})

const serviceUrl = (credentials: Credentials, field: string): URL =>
  parseServiceUrl(textField(credentials, field), `/export_to_credentials/${field}`)

const overrideOf = (credentials: Credentials): Override => ({
  endpoint: credentials.endpoint === undefined ? undefined : serviceUrl(credentials, 'endpoint'),
  tls: readTlsOptions(credentials)
})

/** Ends with /v3. */
function keystoneUrl(credentials: Credentials): URL {
  const url = serviceUrl(credentials, 'auth_url')
  const path = url.pathname.replace(/\/$/, '')
  if (/\/v[12][0-9.]*$/.test(path))
    throw credentialsInvalid('auth_url', 'auth_url has to be of the version 3 of Keystone')
  url.pathname = path.endsWith('/v3') ? path : `${path}/v3`
  return url
}

function nameOrId(credentials: Credentials, field: string): NameOrId {
  const id = optionalTextField(credentials, `${field}_id`)
  return id === undefined ? { name: optionalTextField(credentials, `${field}_name`) ?? 'Default' } : { id }
}

function projectOf(credentials: Credentials) {
  const id = optionalTextField(credentials, 'project_id')
  if (id !== undefined) return { id }
  return { name: textField(credentials, 'project_name'), domain: nameOrId(credentials, 'project_domain') }
}

const VISIBLE_ASCII = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/** Goes into a header as it is. */
function headerField(credentials: Credentials, field: string): string {
  const value = textField(credentials, field)
  if (!VISIBLE_ASCII.test(value)) throw credentialsInvalid(field, `${field} may hold printable ASCII characters only`)
  return value
}
