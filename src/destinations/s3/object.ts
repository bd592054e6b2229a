import { isIPv4 } from 'node:net'
import { DestinationInvalid } from '../../domain/destination-errors.ts'

export type S3Object = { readonly bucket: string; readonly key: string }

/** Also the older rules, under which capitals were allowed. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/i
const MAX_KEY_BYTES = 1024

/**
 * Reads `s3://bucket/key`.
 * @throws DestinationInvalid DEST_URL_INVALID
 */
export function readObjectUrl(url: URL): S3Object {
  const refuse = (why: string) => new DestinationInvalid('DEST_URL_INVALID', '/export_to', `export_to: ${why}.`)
  if (url.port !== '')
    throw refuse('an s3 URL names a bucket, not a host and port; give export_to_credentials.endpoint')
  if (!BUCKET.test(url.hostname)) throw refuse('a bucket has 3 to 63 letters, digits, dots and hyphens')
  if (isIPv4(url.hostname)) throw refuse('the name of a bucket may not look like an address')
  const key = decodeURIComponent(url.pathname.slice(1))
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw refuse(`an S3 key may have at most ${MAX_KEY_BYTES} bytes`)
  return { bucket: url.hostname, key }
}
