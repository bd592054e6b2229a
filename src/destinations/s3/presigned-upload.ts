import type { ByteSource } from '../../domain/bytes.ts'
import { DestinationError } from '../../domain/destination-errors.ts'
import type { Committed, Part, Removed, SentPart, Upload, UploadState, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { type Answer, put } from '../put.ts'
import type { Begun } from '../recorded-parts.ts'
import type { Situation } from '../situations.ts'
import { PartsUnderWay } from '../under-way.ts'
import { s3CodeIn, s3Failure, situationOfS3 } from './failures.ts'
import type { Presigned, SignedUrl } from './presigned-settings.ts'
import { type PartUses, sendPart } from './send-part.ts'
import { removedUpload } from './upload.ts'

/**
 * One PUT to a signed URL. S3 shows the object when it has all of it, and not before; such a URL cannot remove it.
 */
export class PresignedPut implements Upload {
  readonly partBytes: number
  readonly parallel = 1
  readonly state = null
  readonly #uses: PartUses
  readonly #target: UploadTarget
  readonly #put: SignedUrl
  readonly #underWay = new PartsUnderWay()
  #etag = ''
  unproved = false

  constructor(uses: PartUses, target: UploadTarget, signed: SignedUrl) {
    this.#uses = uses
    this.#target = target
    this.#put = signed
    this.partBytes = target.length
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart> {
    return this.#underWay.run(signal, async (either) => {
      const headers = contentType(this.#put, this.#target.mediaType)
      const sent = { headers, length: part.length, body, signal: either }
      const { etag, proved } = await sendTo(this.#uses, this.#put, sent)
      this.#etag = etag
      this.unproved = !proved
      return { number: part.number, bytes: part.length }
    })
  }

  async commit(): Promise<Committed> {
    return { location: this.#target.url.href, etag: this.#etag }
  }

  async abort(): Promise<Removed> {
    await this.#underWay.stop()
    return []
  }
}

/** Version 2 signs the content type, as none here; version 4 leaves it open. */
const contentType = ({ url }: SignedUrl, mediaType: string): Record<string, string> =>
  url.searchParams.has('X-Amz-Signature') ? { 'content-type': mediaType } : {}

type Multipart = Extract<Presigned, { form: 'multipart' }>

/** A multipart upload that somebody else has begun, through one signed URL a call. */
export class PresignedMultipart implements Upload {
  readonly partBytes: number
  readonly parallel = 4
  readonly state: UploadState
  readonly #uses: PartUses
  readonly #target: UploadTarget
  readonly #signed: Multipart
  readonly #underWay = new PartsUnderWay()
  readonly #etags = new Map<number, string>()
  unproved = false
  #done = false

  constructor(uses: PartUses, target: UploadTarget, signed: Multipart, { partBytes, kept }: Begun) {
    this.#uses = uses
    this.#target = target
    this.#signed = signed
    this.partBytes = partBytes
    this.state = { partBytes: String(partBytes) }
    for (const { number, tag = '' } of kept) this.#etags.set(number, tag)
  }

  putPart(part: Part, body: ByteSource, signal: AbortSignal): Promise<SentPart> {
    const signed = this.#signed.parts[part.number - 1]
    if (signed === undefined) return Promise.reject(failure('tooFewSignedParts', this.#host))
    return this.#underWay.run(signal, async (either) => {
      const sent = { headers: {}, length: part.length, body, signal: either }
      const { etag, proved } = await sendTo(this.#uses, signed, sent)
      this.unproved ||= !proved
      this.#etags.set(part.number, etag)
      return { number: part.number, bytes: part.length, tag: etag }
    })
  }

  /** There is no HEAD to ask when an answer was lost. Asked again, the stores confirm what they have completed. */
  async commit(signal: AbortSignal): Promise<Committed> {
    const answer = await this.#complete(signal).catch((error: unknown) => {
      if (!(error instanceof DestinationError) || error.permanent) throw error
      return this.#complete(signal)
    })
    this.#done = true
    const etag = /<ETag>(?:&quot;|")?([^<&"]+)/.exec(answer.body)?.[1]
    return { location: this.#target.url.href, ...(etag !== undefined && { etag: `"${etag}"` }) }
  }

  async abort(): Promise<Removed> {
    if (this.#done) return []
    await this.#underWay.stop()
    const { signal } = new AbortController()
    return abortPresigned(this.#uses, this.#signed, this.#etags.size, signal)
  }

  get #host(): string {
    return this.#signed.complete.url.host
  }

  async #complete(signal: AbortSignal): Promise<Answer> {
    const { complete } = this.#signed
    const parts = [...this.#etags].sort(([a], [b]) => a - b).map(([number, etag]) => partElement(number, etag))
    const bytes = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`)
    const answer = await control(this.#uses, complete, 'POST', bytes, signal)
    // A store that needs long answers 200 first, and what became of it in the body.
    const failed = answer.status !== 200 || !answer.body.includes('<CompleteMultipartUploadResult')
    if (failed) throw refusal(complete, answer)
    return answer
  }
}

const partElement = (number: number, etag: string): string =>
  `<Part><PartNumber>${number}</PartNumber><ETag>${etag.replaceAll('"', '&quot;').replaceAll(/[<>]/g, '')}</ETag></Part>`

/** Ends the upload, when there is a URL for that; an upload that is gone is no error. */
export async function abortPresigned(
  uses: PartUses,
  { abort }: Multipart,
  parts: number,
  signal: AbortSignal
): Promise<Removed> {
  if (abort === undefined) return []
  const answer = await control(uses, abort, 'DELETE', Buffer.alloc(0), signal)
  if (answer.status === 404) return []
  if (answer.status >= 300) throw refusal(abort, answer)
  return removedUpload(parts)
}

const control = (uses: PartUses, { url }: SignedUrl, method: 'POST' | 'DELETE', bytes: Buffer, signal: AbortSignal) =>
  put({
    method,
    url,
    headers: bytes.length > 0 ? { 'content-type': 'application/xml' } : {},
    length: bytes.length,
    body: once(bytes),
    connections: uses.connections,
    credentials: true,
    signal
  })

async function* once(bytes: Uint8Array) {
  if (bytes.length > 0) yield bytes
}

const sendTo = (uses: PartUses, signed: SignedUrl, request: Omit<Parameters<typeof sendPart>[1], 'url' | 'judge'>) =>
  sendPart(uses, { ...request, url: signed.url, judge: (situation) => ofSigned(signed, situation) })

function refusal(signed: SignedUrl, { status, body, headers }: Answer): DestinationError {
  const answer = { status, code: s3CodeIn(body), headers }
  return s3Failure(signed.url.host, answer, ofSigned(signed, situationOfS3(answer)))
}

/** A signature that has ended is refused with the same 403 as any other; an upload that is gone cannot be begun again. */
function ofSigned({ until }: SignedUrl, situation: Situation): Situation {
  if (situation === 'uploadGone') return 'signedUploadGone'
  const ended = until !== undefined && until.getTime() <= Date.now()
  return ended && (situation === 'forbidden' || situation === 'unauthorized') ? 'credentialsExpired' : situation
}
