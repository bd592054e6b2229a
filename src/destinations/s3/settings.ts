import { type TSchema, Type } from 'typebox'
import { DestinationInvalid } from '../../domain/destination-errors.ts'
import { credentialsInvalid, optionalTextField, textField } from '../credentials.ts'
import type { Credentials } from '../destination.ts'
import { readHost } from '../host.ts'
import { parseEndpoint } from '../target.ts'

const text = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, description })

export const S3_CREDENTIALS: readonly TSchema[] = [
  Type.Object(
    {
      kind: Type.Literal('s3_static'),
      access_key_id: text(256, 'Access key id'),
      secret_access_key: text(1024, 'Secret access key'),
      session_token: Type.Optional(text(8192, 'Session token of temporary credentials')),
      endpoint: Type.Optional(text(2048, 'https://host of the S3 service; AWS when absent')),
      region: Type.Optional(text(64, 'Region of the bucket; us-east-1 when absent')),
      addressing_style: Type.Optional(
        Type.Enum(['auto', 'path', 'virtual'], { description: 'Where the bucket goes: path or host name' })
      )
    },
    { additionalProperties: false }
  )
]

/** Where a bucket is served and with which keys. */
export type S3Settings = {
  readonly endpoint: URL
  readonly region: string
  readonly pathStyle: boolean
  readonly keys: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
}

const REGION = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/i
/** Keys are sent in headers and query strings. */
const KEY = /^[\x21-\x7e]+$/

/** @throws DestinationInvalid DEST_CREDENTIALS_INVALID or DEST_URL_INVALID */
export function readSettings(credentials: Credentials | undefined, bucket: string): S3Settings {
  if (credentials === undefined) throw credentialsInvalid('kind', 's3 needs credentials of the kind s3_static')
  if (credentials.kind !== 's3_static') throw credentialsInvalid('kind', 's3 takes the kind s3_static')
  const region = optionalTextField(credentials, 'region') ?? 'us-east-1'
  if (!REGION.test(region)) throw credentialsInvalid('region', 'region may hold letters, digits and hyphens only')
  const given = optionalTextField(credentials, 'endpoint')
  const endpoint = parseEndpoint(given ?? `https://s3.${region}.amazonaws.com`, '/export_to_credentials/endpoint')
  const sessionToken = optionalKey(credentials, 'session_token')
  return {
    endpoint,
    region,
    pathStyle: usesPathStyle(credentials, endpoint, bucket, given !== undefined),
    keys: {
      accessKeyId: key(credentials, 'access_key_id'),
      secretAccessKey: key(credentials, 'secret_access_key'),
      ...(sessionToken === undefined ? {} : { sessionToken })
    }
  }
}

const key = (credentials: Credentials, field: string): string =>
  optionalKey(credentials, field) ?? textField(credentials, field)

function optionalKey(credentials: Credentials, field: string): string | undefined {
  const value = optionalTextField(credentials, field)
  if (value !== undefined && !KEY.test(value)) {
    throw credentialsInvalid(field, `${field} may hold printable ASCII characters without spaces only`)
  }
  return value
}

/** Buckets that can be part of a host name under a wildcard certificate. */
const HOST_BUCKET = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/

/** `auto` is the host name at AWS, which is to give up paths, and the path elsewhere, where wildcard names are rare. */
function usesPathStyle(credentials: Credentials, endpoint: URL, bucket: string, custom: boolean): boolean {
  const style = optionalTextField(credentials, 'addressing_style') ?? 'auto'
  if (style === 'path') return true
  const possible = HOST_BUCKET.test(bucket) && readHost(endpoint.hostname).kind === 'name'
  if (style === 'auto') return custom || !possible
  if (style !== 'virtual') throw credentialsInvalid('addressing_style', 'addressing_style is auto, path or virtual')
  if (!possible) {
    throw credentialsInvalid(
      'addressing_style',
      'this bucket and endpoint cannot be put together to a host name; use path'
    )
  }
  return false
}

/** Where requests for the bucket go: the endpoint, or the bucket's own host below it. */
export function bucketEndpoint(settings: S3Settings, bucket: string): URL {
  const url = new URL(settings.endpoint)
  if (!settings.pathStyle) url.hostname = `${bucket}.${url.hostname}`
  return url
}

export type S3Object = { readonly bucket: string; readonly key: string }

/** Also the older rules, under which capitals were allowed. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/i
const MAX_KEY_BYTES = 1024

/**
 * Reads `s3://bucket/key`.
 * @throws DestinationInvalid DEST_URL_INVALID
 */
export function readObject(url: URL): S3Object {
  const refuse = (why: string) => new DestinationInvalid('DEST_URL_INVALID', '/export_to', `export_to: ${why}.`)
  if (url.port !== '')
    throw refuse('an s3 URL names a bucket, not a host and port; give export_to_credentials.endpoint')
  if (!BUCKET.test(url.hostname)) throw refuse('a bucket has 3 to 63 letters, digits, dots and hyphens')
  const key = decodeURIComponent(url.pathname.slice(1))
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw refuse(`an S3 key may have at most ${MAX_KEY_BYTES} bytes`)
  return { bucket: url.hostname, key }
}
