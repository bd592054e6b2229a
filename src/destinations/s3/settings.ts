import { credentialsInvalid, optionalTextField, textField } from '../credentials.ts'
import type { Credentials } from '../destination.ts'
import { readHost } from '../host.ts'
import { parseEndpoint } from '../target.ts'
import { type Encryption, readEncryption } from './encryption.ts'

export type S3Keys = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** A role that is assumed with the keys. */
export type S3Role = {
  readonly arn: string
  readonly externalId: string | undefined
  /** Undefined: named after the task. */
  readonly sessionName: string | undefined
  readonly durationSeconds: number
  /** The token service. */
  readonly endpoint: URL
}

/** Where a bucket is served, with which keys, and how objects are encrypted there. */
export type S3Settings = {
  readonly endpoint: URL
  readonly region: string
  readonly pathStyle: boolean
  readonly keys: S3Keys
  readonly role: S3Role | undefined
  readonly encryption: Encryption
}

const REGION = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/i
/** Keys are sent in headers and query strings. */
const VISIBLE = /^[\x21-\x7e]+$/
const ROLE_ARN = /^arn:[\x21-\x7e]{16,}$/
/** AssumeRole, `ExternalId` and `RoleSessionName`. */
const EXTERNAL_ID = /^[\w+=,.@:/-]{2,1224}$/
const SESSION_NAME = /^[\w+=,.@-]{2,64}$/

/**
 * Reads credentials of the kinds s3_static and s3_assume_role.
 * @throws DestinationInvalid DEST_CREDENTIALS_INVALID or DEST_URL_INVALID
 */
export function readSettings(credentials: Credentials | undefined, bucket: string): S3Settings {
  if (credentials?.kind !== 's3_static' && credentials?.kind !== 's3_assume_role')
    throw credentialsInvalid('kind', 's3 takes the kinds s3_static, s3_assume_role and s3_presigned')
  const region = optionalTextField(credentials, 'region') ?? 'us-east-1'
  if (!REGION.test(region)) throw credentialsInvalid('region', 'region may hold letters, digits and hyphens only')
  const given = optionalTextField(credentials, 'endpoint')
  const endpoint = parseEndpoint(given ?? `https://s3.${region}.${awsDomain(region)}`, pointerTo('endpoint'))
  const sessionToken = optionalMatch(credentials, 'session_token', VISIBLE, VISIBLE_ONLY)
  return {
    endpoint,
    region,
    pathStyle: usesPathStyle(credentials, endpoint, bucket, given !== undefined),
    keys: {
      accessKeyId: key(credentials, 'access_key_id'),
      secretAccessKey: key(credentials, 'secret_access_key'),
      ...(sessionToken === undefined ? {} : { sessionToken })
    },
    role: credentials.kind === 's3_assume_role' ? readRole(credentials, region, given) : undefined,
    encryption: readEncryption(credentials)
  }
}

const pointerTo = (field: string): string => `/export_to_credentials/${field}`
const awsDomain = (region: string): string => (region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com')

/** Stores other than AWS that assume roles (Ceph, MinIO) do so at their S3 endpoint. */
function readRole(credentials: Credentials, region: string, store: string | undefined): S3Role {
  const sts = optionalTextField(credentials, 'sts_endpoint') ?? store ?? `https://sts.${region}.${awsDomain(region)}`
  const duration = credentials.duration_seconds
  const arn = textField(credentials, 'role_arn')
  if (!ROLE_ARN.test(arn)) throw credentialsInvalid('role_arn', 'role_arn has the form arn:aws:iam::account:role/name')
  return {
    arn,
    externalId: optionalMatch(credentials, 'external_id', EXTERNAL_ID, 'may hold letters, digits and _+=,.@:/- only'),
    sessionName: optionalMatch(credentials, 'session_name', SESSION_NAME, 'may hold letters, digits and _+=,.@- only'),
    durationSeconds: typeof duration === 'number' ? duration : 3600,
    endpoint: parseEndpoint(sts, pointerTo('sts_endpoint'))
  }
}

const VISIBLE_ONLY = 'may hold printable ASCII characters without spaces only'

const key = (credentials: Credentials, field: string): string =>
  optionalMatch(credentials, field, VISIBLE, VISIBLE_ONLY) ?? textField(credentials, field)

function optionalMatch(credentials: Credentials, field: string, shape: RegExp, rule: string): string | undefined {
  const value = optionalTextField(credentials, field)
  if (value !== undefined && !shape.test(value)) throw credentialsInvalid(field, `${field} ${rule}`)
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
