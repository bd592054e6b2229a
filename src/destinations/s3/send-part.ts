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
  /** May know better what an answer means in this place. */
  judge?(situation: Situation): Situation
}

/**
 * Sends bytes to a signed URL and compares what arrived with what was sent: the ETag of a part is its MD5. Nothing else
 * proves it everywhere: Content-MD5 and x-amz-checksum-* have to be known before the first byte, trailers are refused by
 * Ceph (411) and Swift (501), which also ignore x-amz-checksum-*.
 * @returns the ETag as the store gave it
 */
export async function sendPart(uses: PartUses, request: SignedPut): Promise<string> {
  const { judge = (situation) => situation, ...sent } = request
  using md5 = uses.hashers.start('md5')
  const answer = await put({ ...sent, method: 'PUT', connections: uses.connections, credentials: true, md5 })
  const { host } = request.url
  if (answer.status !== 200) {
    const refusal = { status: answer.status, code: s3CodeIn(answer.body), headers: answer.headers }
    throw s3Failure(host, refusal, judge(situationOfS3(refusal)))
  }
  const { etag } = answer.headers
  if (etag === undefined) throw failure('noReceipt', host)
  if (etagIsMd5(answer) && unquoted(etag) !== answer.md5) throw failure('bytesDiffer', host)
  return etag
}

/** An ETag as it is compared: without quotes, in lower case. */
export const unquoted = (etag: string): string => etag.replaceAll('"', '').toLowerCase()

/** With a KMS or customer key the ETag looks like an MD5 and is none (S3 API, `ETag` of Object). */
function etagIsMd5({ headers }: Answer): boolean {
  const encryption = String(headers['x-amz-server-side-encryption'] ?? 'AES256')
  const customerKey = headers['x-amz-server-side-encryption-customer-algorithm'] !== undefined
  return encryption === 'AES256' && !customerKey && /^[0-9a-f]{32}$/.test(unquoted(headers.etag ?? ''))
}
