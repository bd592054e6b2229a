import { createHash, createHmac } from 'node:crypto'
import { type ByteSource, KiB } from '../../domain/bytes.ts'
import type { S3Keys } from './settings.ts'

const ALGORITHM = 'AWS4-HMAC-SHA256'
const PAYLOAD = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
/** Bytes of every chunk but the last. Stores take 8 KiB to 16 MiB. */
const CHUNK_BYTES = 256 * KiB

export type PlainPut = {
  /** Without a signature. */
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly length: number
  /** Exactly `length` bytes. */
  readonly body: ByteSource
}

export type Signer = {
  readonly keys: S3Keys
  readonly region: string
  readonly now: Date
  readonly chunkBytes?: number
}

/**
 * A PUT whose body carries a signature for every chunk, each resting on the one before: the store refuses bytes that are not
 * those that were signed, and nothing has to be known of the body before it is sent.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 */
export function signChunks(
  { url, headers, length, body }: PlainPut,
  { keys, region, now, chunkBytes = CHUNK_BYTES }: Signer
): PlainPut {
  const time = now.toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`
  const signed: Record<string, string> = {
    ...headers,
    'content-encoding': 'aws-chunked',
    'content-length': String(lengthWithSignatures(length, chunkBytes)),
    host: url.host,
    'x-amz-content-sha256': PAYLOAD,
    'x-amz-date': time,
    'x-amz-decoded-content-length': String(length),
    ...(keys.sessionToken !== undefined && { 'x-amz-security-token': keys.sessionToken })
  }
  const names = Object.keys(signed).sort()
  const canonical = [
    'PUT',
    url.pathname,
    canonicalQuery(url),
    ...names.map((name) => `${name}:${signed[name]?.trim()}`),
    '',
    names.join(';'),
    PAYLOAD
  ].join('\n')
  const key = [region, 's3', 'aws4_request'].reduce(hmac, hmac(`AWS4${keys.secretAccessKey}`, time.slice(0, 8)))
  const sign = (kind: string, ...digests: string[]) =>
    hmac(key, [`${ALGORITHM}${kind}`, time, scope, ...digests].join('\n')).toString('hex')
  const seed = sign('', sha256(canonical))

  const { host: _host, ...sent } = signed
  const authorization = `${ALGORITHM} Credential=${keys.accessKeyId}/${scope},SignedHeaders=${names.join(';')},Signature=${seed}`
  return {
    url,
    headers: { ...sent, authorization },
    length: lengthWithSignatures(length, chunkBytes),
    body: withSignatures(body, { length, chunkBytes, seed }, (before, chunk) =>
      sign('-PAYLOAD', before, EMPTY_SHA256, sha256(chunk))
    )
  }
}

/** @param sign gives the signature of a chunk from the one before it */
async function* withSignatures(
  body: ByteSource,
  { length, chunkBytes, seed }: { readonly length: number; readonly chunkBytes: number; readonly seed: string },
  sign: (before: string, chunk: Uint8Array) => string
): ByteSource {
  const frame = Buffer.alloc(frameBytes(Math.min(length, chunkBytes)))
  let signature = seed
  let rest = length
  let filled = 0
  // One buffer for all frames: it is free again when the next is asked for.
  const close = (bytes: number): Uint8Array => {
    const head = Buffer.byteLength(headOf(bytes, signature))
    signature = sign(signature, frame.subarray(head, head + bytes))
    frame.write(headOf(bytes, signature), 0, 'latin1')
    frame.write('\r\n', head + bytes, 'latin1')
    return frame.subarray(0, head + bytes + 2)
  }

  for await (const chunk of body) {
    for (let from = 0; from < chunk.length; ) {
      const bytes = Math.min(rest, chunkBytes)
      const piece = chunk.subarray(from, from + bytes - filled)
      if (piece.length === 0) break // more than was promised: whoever made the body says so
      frame.set(piece, headOf(bytes, signature).length + filled)
      from += piece.length
      filled += piece.length
      if (filled < bytes) continue
      yield close(bytes)
      rest -= bytes
      filled = 0
    }
  }
  yield close(0)
}

const headOf = (bytes: number, signature: string): string => `${bytes.toString(16)};chunk-signature=${signature}\r\n`
const frameBytes = (bytes: number): number => headOf(bytes, '0'.repeat(64)).length + bytes + 2

function lengthWithSignatures(length: number, chunkBytes: number): number {
  const last = length % chunkBytes
  const whole = (length - last) / chunkBytes
  return whole * frameBytes(chunkBytes) + (last > 0 ? frameBytes(last) : 0) + frameBytes(0)
}

const canonicalQuery = ({ searchParams }: URL): string =>
  [...searchParams]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&')

const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const EMPTY_SHA256 = sha256('')
