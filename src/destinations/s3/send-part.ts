import type { ByteSource } from '../../domain/bytes.ts'
import type { Hashers } from '../../hashing/hashers.ts'
import type { Connections } from '../connection.ts'
import { failure } from '../failures.ts'
import { type Answer, put } from '../put.ts'
import type { Situation } from '../situations.ts'
import { s3CodeIn, s3Failure, situationOfS3 } from './failures.ts'

export type PartUses = { readonly connections: Connections; readonly hashers: Hashers }

export type SignedPut = {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly length: number
  readonly body: ByteSource
  readonly signal: AbortSignal
  readonly proof?: Proof
  /** May know better what an answer means in this place. */
  judge?(situation: Situation): Situation
}

/**
 * What shows that a store has the bytes of a part:
 * - `etag`: its ETag is their MD5, if its headers do not say that it encrypts with a key of others.
 * - `md5`: its ETag is their MD5 although they do.
 * - `chunks`: it took them, and it takes none that are not those that were signed.
 * - `none`: nothing does; they have to be read back.
 */
export const PROOFS = ['etag', 'md5', 'chunks', 'none'] as const
export type Proof = (typeof PROOFS)[number]

/** `proved`: the answer shows that the store has the bytes that were sent. */
export type Receipt = { readonly etag: string; readonly proved: boolean }

/**
 * Sends bytes to a signed URL and compares what arrived with what was sent. Content-MD5 and x-amz-checksum-* have to be known
 * before the first byte; trailers are refused by Ceph (411) and Swift (501), which also ignore x-amz-checksum-*.
 * @throws DestinationError also when other bytes have arrived
 */
export async function sendPart(uses: PartUses, request: SignedPut): Promise<Receipt> {
  const { judge = (situation) => situation, proof = 'etag', ...sent } = request
  using md5 = proof === 'chunks' ? undefined : uses.hashers.start('md5')
  const answer = await put({
    ...sent,
    method: 'PUT',
    connections: uses.connections,
    credentials: true,
    ...(md5 && { md5 })
  })
  const { host } = request.url
  if (answer.status !== 200) {
    const refusal = { status: answer.status, code: s3CodeIn(answer.body), headers: answer.headers }
    throw s3Failure(host, refusal, judge(situationOfS3(refusal)))
  }
  const { etag } = answer.headers
  if (etag === undefined) throw failure('noReceipt', host)
  if (proof === 'chunks') return { etag, proved: true }
  const same = unquoted(etag) === answer.md5
  if (!same && (proof === 'md5' || (proof === 'etag' && etagIsMd5(answer)))) throw failure('bytesDiffer', host)
  return { etag, proved: same }
}

/** An ETag as it is compared: without quotes, in lower case. */
export const unquoted = (etag: string): string => etag.replaceAll('"', '').toLowerCase()

/** Whether it looks like one. */
export const isMd5 = (etag: string): boolean => /^[0-9a-f]{32}$/.test(unquoted(etag))

/** With a KMS or customer key the ETag looks like an MD5 and need not be one (S3 API, `ETag` of Object). */
function etagIsMd5({ headers }: Answer): boolean {
  const encryption = String(headers['x-amz-server-side-encryption'] ?? 'AES256')
  const customerKey = headers['x-amz-server-side-encryption-customer-algorithm'] !== undefined
  return encryption === 'AES256' && !customerKey && isMd5(headers.etag ?? '')
}
