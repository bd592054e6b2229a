import { createHash, createHmac } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

const PAYLOAD = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'

/** Whether a body is in signed chunks. */
export const isInChunks = (headers: IncomingHttpHeaders): boolean => headers['x-amz-content-sha256'] === PAYLOAD

/**
 * Takes a body out of its signed chunks.
 * @param secret that the chunks have to be signed with; undefined: nobody looks at the signatures
 * @returns undefined when a signature is wrong or the frames are broken
 */
export function readChunks(headers: IncomingHttpHeaders, body: Buffer, secret: string | undefined): Buffer | undefined {
  const [, date = '', region = '', seed = ''] =
    /Credential=[^/]+\/(\d{8})\/([^/]+)\/s3\/aws4_request,.*Signature=([0-9a-f]{64})/.exec(
      headers.authorization ?? ''
    ) ?? []
  const scope = `${date}/${region}/s3/aws4_request`
  const chunks: Buffer[] = []
  let before = seed
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at)
    const [, size, signature = ''] =
      /^([0-9a-f]+);chunk-signature=([0-9a-f]{64})$/.exec(body.toString('latin1', at, end)) ?? []
    if (size === undefined) return undefined
    const chunk = body.subarray(end + 2, end + 2 + Number.parseInt(size, 16))
    const empty = createHash('sha256').digest('hex')
    const facts = [before, empty, createHash('sha256').update(chunk).digest('hex')]
    const text = ['AWS4-HMAC-SHA256-PAYLOAD', headers['x-amz-date'], scope, ...facts].join('\n')
    let key: Buffer | string = `AWS4${secret}`
    for (const part of [date, region, 's3', 'aws4_request', text]) key = createHmac('sha256', key).update(part).digest()
    if (secret !== undefined && key.toString('hex') !== signature) return undefined
    if (chunk.length === 0) break
    chunks.push(chunk)
    before = signature
    at = end + 2 + chunk.length + 2
  }
  const whole = Buffer.concat(chunks)
  return whole.length === Number(headers['x-amz-decoded-content-length']) ? whole : undefined
}
